//! A row of the table of environments as a description.

use super::{
    rows::{Refused, flag, number},
    source::Row,
};
use crate::environments::Environment;
use serde_json::{Map, Value, json};

/// Widths of columns: what fills one was cut off by the database.
const FILE_WIDTH: usize = 512;

/// An environment of the database.
pub(super) struct Found {
    /// Its number there.
    pub(super) number: i64,
    /// Its owner.
    pub(super) user: String,
    /// Its name.
    pub(super) name: String,
    /// Its version.
    pub(super) version: u32,
    /// The description, without those three.
    pub(super) description: Map<String, Value>,
    /// File references with the checksums that the database has.
    pub(super) checksums: Vec<(String, String)>,
}

/// Short kinds of images as they are kept.
const KINDS: [(&str, &str, &str); 8] = [
    ("tgz", "tar", "gzip"),
    ("tbz2", "tar", "bzip2"),
    ("txz", "tar", "xz"),
    ("tzstd", "tar", "zstd"),
    ("ddgz", "dd", "gzip"),
    ("ddbz2", "dd", "bzip2"),
    ("ddxz", "dd", "xz"),
    ("ddzstd", "dd", "zstd"),
];

/// What the row says, checked as a description is.
pub(super) fn environment(row: &Row) -> Result<Found, Refused> {
    let user = if row.text("user").is_empty() { "nobody" } else { row.text("user") };
    let what = format!("{} version {} of {user}", row.text("name"), row.text("version"));
    parts(row, user).map_err(|why| (what, why))
}

fn parts(row: &Row, user: &str) -> Result<Found, String> {
    let version: u32 = number(row, "version")?.unwrap_or(1);
    let mut checksums = Vec::new();
    let mut map = Map::new();
    copy(
        row,
        &mut map,
        &[("description", "description"), ("author", "author"), ("visibility", "visibility")],
    );
    map.insert("destructive".into(), flag(row.text("demolishing_env")).unwrap_or_default().into());
    copy(row, &mut map, &[("environment_kind", "os")]);
    map.insert("image".into(), image(whole(row, "tarball")?, &mut checksums)?);
    let preinstall = whole(row, "preinstall")?;
    if !preinstall.is_empty() {
        map.insert("preinstall".into(), archive(preinstall, &mut checksums)?);
    }
    let postinstalls = archives(whole(row, "postinstall")?, &mut checksums)?;
    if !postinstalls.is_empty() {
        map.insert("postinstalls".into(), postinstalls.into());
    }
    let (partitions, boot) = boot(row)?;
    if !boot.is_empty() {
        map.insert("boot".into(), boot.into());
    }
    copy(row, &mut map, &[("filesystem", "filesystem")]);
    let id = row.text("fdisk_type");
    let hex = if id.is_empty() { Ok(0) } else { u8::from_str_radix(id, 16) };
    let hex = hex.map_err(|_| format!("fdisk_type '{id}' is no hexadecimal number"))?;
    map.insert("partition_type".into(), hex.into());
    map.insert("multipart".into(), flag(row.text("multipart")).unwrap_or_default().into());
    if !partitions.is_empty() {
        map.insert("options".into(), json!({"partitions": partitions}));
    }
    copy(row, &mut map, &[("arch", "arch"), ("alias", "alias")]);
    let name = row.text("name").to_owned();
    let mut all = map.clone();
    all.insert("name".into(), name.clone().into());
    all.insert("version".into(), version.into());
    Environment::parse(&all).map_err(|invalid| invalid.to_string())?;
    let number = number(row, "id")?.unwrap_or_default();
    Ok(Found { number, user: user.to_owned(), name, version, description: map, checksums })
}

/// Columns that are fields, where they are not empty.
fn copy(row: &Row, map: &mut Map<String, Value>, names: &[(&str, &str)]) {
    let given = names.iter().filter(|(column, _)| !row.text(column).is_empty());
    map.extend(given.map(|(column, field)| ((*field).to_owned(), row.text(column).into())));
}

/// A column that names files, unless it was cut off.
fn whole<'r>(row: &'r Row, column: &str) -> Result<&'r str, String> {
    let text = row.text(column);
    if text.chars().count() < FILE_WIDTH {
        return Ok(text);
    }
    Err(format!(
        "{column} was cut off by the database at {FILE_WIDTH} letters: record it from its description"
    ))
}

/// `file|kind|checksum`; what else has a bar is the file's name.
fn image(text: &str, checksums: &mut Vec<(String, String)>) -> Result<Value, String> {
    let mut parts = text.rsplitn(3, '|');
    let (Some(checksum), Some(kind), Some(file)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(format!("the image '{text}' is not of the form file|kind|checksum"));
    };
    checksums.push((file.to_owned(), checksum.to_owned()));
    if let Some((_, kind, compression)) = KINDS.iter().find(|(short, ..)| *short == kind) {
        return Ok(json!({"file": file, "kind": kind, "compression": compression}));
    }
    match kind.strip_prefix("fsa").map(str::parse::<u8>) {
        Some(Ok(level)) => Ok(json!({"file": file, "kind": "fsa", "compression": level})),
        _ => Err(format!("no kind of images is called '{kind}'")),
    }
}

/// `file|kind|checksum|script`.
fn archive(text: &str, checksums: &mut Vec<(String, String)>) -> Result<Value, String> {
    let parts: Vec<&str> = text.splitn(4, '|').collect();
    let [file, kind, checksum, rest @ ..] = parts.as_slice() else {
        return Err(format!("the archive '{text}' is not of the form file|kind|checksum|script"));
    };
    let found = KINDS.iter().find(|(short, of, _)| short == kind && *of == "tar");
    let (.., compression) =
        found.ok_or_else(|| format!("no kind of archives is called '{kind}'"))?;
    checksums.push(((*file).to_owned(), (*checksum).to_owned()));
    let mut archive = json!({"archive": file, "compression": compression});
    if let Some(script) = rest.first().filter(|script| !script.is_empty()) {
        archive["script"] = (*script).into();
    }
    Ok(archive)
}

/// Archives with commas between them. A piece without a bar belongs to the script before it,
/// whose arguments have commas.
fn archives(text: &str, checksums: &mut Vec<(String, String)>) -> Result<Vec<Value>, String> {
    let mut pieces: Vec<String> = Vec::new();
    for piece in text.split(',').filter(|_| !text.is_empty()) {
        match pieces.last_mut() {
            Some(last) if !piece.contains('|') => last.extend([",", piece]),
            _ => pieces.push(piece.to_owned()),
        }
    }
    pieces.iter().map(|piece| archive(piece, checksums)).collect()
}

/// The partitions of an image of several, and how it boots.
fn boot(row: &Row) -> Result<(Vec<Value>, Map<String, Value>), String> {
    let mut boot = Map::new();
    copy(
        row,
        &mut boot,
        &["kernel", "initrd", "kernel_params", "hypervisor", "hypervisor_params"].map(|n| (n, n)),
    );
    let text = row.text("options");
    if text.trim().is_empty() {
        return Ok((Vec::new(), boot));
    }
    let options: Value =
        serde_saphyr::from_str(text).map_err(|why| format!("options is no YAML: {why}"))?;
    let options = without_colons(options);
    let device = options["block_device"].as_str().filter(|device| !device.is_empty());
    boot.extend(device.map(|device| ("block_device".to_owned(), device.into())));
    let partition = match &options["deploy_part"] {
        Value::String(text) => text.parse::<u32>().ok(),
        other => other.as_u64().and_then(|number| number.try_into().ok()),
    };
    boot.extend(partition.map(|number| ("partition".to_owned(), number.into())));
    let partitions = match &options["partitions"] {
        Value::Array(list) => list.clone(),
        _ => Vec::new(),
    };
    Ok((partitions, boot))
}

/// The symbols of Ruby as the words they stand for.
fn without_colons(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let bare = |(key, value): (String, Value)| {
                (key.trim_start_matches(':').to_owned(), without_colons(value))
            };
            Value::Object(map.into_iter().map(bare).collect())
        }
        Value::Array(list) => list.into_iter().map(without_colons).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::rows::tests::row;

    const DEB: [(&str, &str); 12] = [
        ("id", "7"),
        ("name", "deb"),
        ("version", "1"),
        ("tarball", "server:///srv/img.tgz|tgz|0cc1"),
        ("postinstall", "server:///srv/post.tgz|tgz|77aa|traitement.ash /rambin"),
        ("kernel", "/vmlinuz"),
        ("initrd", "/initrd.img"),
        ("fdisk_type", "83"),
        ("filesystem", "ext4"),
        ("environment_kind", "linux"),
        ("user", "anna"),
        ("visibility", "private"),
    ];

    fn deb(changes: &[(&str, &str)]) -> Result<Found, String> {
        let mut cells = DEB.to_vec();
        for (name, value) in changes {
            cells.retain(|(column, _)| column != name);
            cells.push((name, value));
        }
        environment(&row(&cells)).map_err(|(what, why)| format!("{what}: {why}"))
    }

    #[test]
    fn a_row_is_the_description_that_it_was_made_of() {
        let found = deb(&[]).unwrap();
        let wanted = json!({
            "visibility": "private", "destructive": false, "os": "linux",
            "image": {"file": "server:///srv/img.tgz", "kind": "tar", "compression": "gzip"},
            "postinstalls": [{"archive": "server:///srv/post.tgz", "compression": "gzip", "script": "traitement.ash /rambin"}],
            "boot": {"kernel": "/vmlinuz", "initrd": "/initrd.img"},
            "filesystem": "ext4", "partition_type": 131, "multipart": false,
        });
        assert_eq!(Value::Object(found.description), wanted);
        assert_eq!((found.number, found.version, found.user.as_str()), (7, 1, "anna"));
        let sums = [("server:///srv/img.tgz", "0cc1"), ("server:///srv/post.tgz", "77aa")];
        assert_eq!(found.checksums, sums.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn commas_and_bars_are_where_they_can_be() {
        let found = deb(&[
            ("postinstall", "/a|tgz|1|x 1,2,/b|txz|2|y"),
            ("tarball", "/odd|name|tbz2|\"tag\""),
        ]);
        let found = found.unwrap().description;
        assert_eq!(found["postinstalls"][0]["script"], "x 1,2");
        assert_eq!(found["postinstalls"][1]["archive"], "/b");
        assert_eq!(found["image"]["file"], "/odd|name");
    }

    #[test]
    fn images_of_several_partitions_have_their_options() {
        let options = "---\n:partitions:\n- :id: 0\n  :device: sda1\n:block_device: /dev/sda\n:deploy_part: 1\n";
        let found = deb(&[("tarball", "/i|fsa3|x"), ("multipart", "1"), ("options", options)]);
        let found = found.unwrap().description;
        assert_eq!(found["options"]["partitions"], json!([{"id": 0, "device": "sda1"}]));
        assert_eq!(
            (&found["boot"]["block_device"], &found["boot"]["partition"]),
            (&json!("/dev/sda"), &json!(1))
        );
        assert_eq!(found["image"]["compression"], 3);
    }

    #[test]
    fn what_makes_no_description_says_why() {
        let long = "x".repeat(512);
        for (column, text, why) in [
            ("tarball", "/i|zip|x", "no kind of images is called 'zip'"),
            ("tarball", "/i", "not of the form"),
            ("preinstall", "/i|ddgz|x|y", "no kind of archives"),
            ("postinstall", long.as_str(), "cut off"),
            ("kernel", "", "mandatory"),
            ("fdisk_type", "zz", "hexadecimal"),
            ("options", "{", "no YAML"),
            ("version", "x", "no number"),
            ("visibility", "odd", "visibility"),
        ] {
            let said = deb(&[(column, text)]).err().unwrap_or_default();
            assert!(said.contains(why), "{column} {text}: {said}");
        }
    }
}

//! The fields of a description and their rules.

use super::{Invalid, fields::Fields, without_password};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Who sees an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Visibility {
    /// Everyone.
    Public,
    /// Those who know its owner.
    Shared,
    /// Its owner.
    Private,
}

/// What is booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OsKind {
    /// A Linux kernel.
    Linux,
    /// Linux under Xen.
    Xen,
    /// Anything else: its own boot sector is started.
    Other,
}

impl OsKind {
    /// As scripts and profiles name it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Xen => "xen",
            Self::Other => "other",
        }
    }
}

/// What an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageKind {
    /// An archive of a root file system.
    Tar,
    /// The bytes of a partition or of a disk.
    Dd,
    /// An fsarchiver archive.
    Fsa,
}

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compression {
    /// gzip.
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// Zstandard.
    Zstd,
    /// fsarchiver's own, levels 0 to 9.
    Level(u8),
}

impl Compression {
    /// Every program that decompresses a stream.
    const STREAMS: [(&'static str, Self); 4] =
        [("gzip", Self::Gzip), ("bzip2", Self::Bzip2), ("xz", Self::Xz), ("zstd", Self::Zstd)];

    /// The program that decompresses it.
    pub fn program(self) -> &'static str {
        Self::STREAMS.iter().find(|(_, kind)| *kind == self).map_or("cat", |(word, _)| word)
    }
}

/// The image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Where it is.
    pub file: String,
    /// What it is.
    pub kind: ImageKind,
    /// How it is compressed.
    pub compression: Compression,
    /// Our own: SHA-256 it must have, 64 hexadecimal digits.
    pub sha256: Option<String>,
}

/// An archive with a script, unpacked and run in the deployment system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// Where it is.
    pub file: String,
    /// How it is compressed.
    pub compression: Compression,
    /// Path inside the archive, with arguments; none: unpack only.
    pub script: Option<String>,
    /// SHA-256 it had when the environment was recorded, where that is known.
    pub sha256: Option<String>,
}

/// How it boots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// Path of the kernel inside the image.
    pub kernel: String,
    /// Path of the initial ramdisk inside the image.
    pub initrd: String,
    /// Its command line.
    pub kernel_params: String,
    /// Path of the hypervisor inside the image.
    pub hypervisor: String,
    /// Its command line.
    pub hypervisor_params: String,
}

/// A checked description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// Its version, from 1.
    pub version: i64,
    /// What it is, for people.
    pub description: String,
    /// Who made it.
    pub author: String,
    /// Who sees it.
    pub visibility: Visibility,
    /// Nodes that run it must not be rebooted into it again.
    pub destructive: bool,
    /// What is booted.
    pub os: OsKind,
    /// The image.
    pub image: Image,
    /// Replaces partitioning and formatting.
    pub preinstall: Option<Archive>,
    /// Run after the image was written; none given at all is not the same as an empty list.
    pub postinstalls: Option<Vec<Archive>>,
    /// How it boots.
    pub boot: Boot,
    /// For `mkfs -t`; empty for images that bring their own.
    pub filesystem: String,
    /// Partition type, one byte.
    pub partition_type: u8,
    /// Fields nobody knows, to be told to the user.
    pub unused: Vec<String>,
}

impl Environment {
    /// The references of its image and its post-install archives, each with the digest that
    /// the file must have.
    pub fn digests(&mut self) -> impl Iterator<Item = (&str, &mut Option<String>)> {
        let archives = self.postinstalls.iter_mut().flatten();
        let archives = archives.map(|one| (one.file.as_str(), &mut one.sha256));
        std::iter::once((self.image.file.as_str(), &mut self.image.sha256)).chain(archives)
    }

    /// Checks a description and builds the environment. The first mistake ends it.
    pub fn parse(map: &Map<String, Value>) -> Result<Self, Invalid> {
        let fields = Fields::new(map, "");
        let image_fields = fields.mandatory_section("image")?;
        let boot_fields = fields.section("boot")?;
        let environment = Self {
            name: fields.text("name")?,
            version: fields.integer_or("version", 1)?,
            description: fields.text_or("description", "")?,
            author: fields.text_or("author", "")?,
            visibility: fields.choice("visibility", &VISIBILITIES, Some(Visibility::Private))?,
            destructive: fields.boolean_or("destructive", false)?,
            os: fields.choice("os", &OS_KINDS, None)?,
            image: image(&image_fields)?,
            preinstall: fields.section("preinstall")?.map(|part| archive(&part)).transpose()?,
            postinstalls: postinstalls(&fields, map)?,
            boot: boot_fields.as_ref().map(boot).transpose()?.unwrap_or_default(),
            filesystem: filesystem(&fields)?,
            partition_type: partition_type(&fields)?,
            unused: Vec::new(),
        };
        multipart(&fields)?;
        environment.check_tar(&fields)?;
        let mut unused = fields.unused();
        unused.extend(image_fields.unused());
        unused.extend(boot_fields.iter().flat_map(Fields::unused));
        unused.retain(|name| !LATER.contains(&name.as_str()));
        Ok(Self { unused, ..environment })
    }

    /// The same without the passwords that addresses of its files may hold.
    #[must_use]
    pub fn without_passwords(mut self) -> Self {
        let archives = self.preinstall.iter_mut().chain(self.postinstalls.iter_mut().flatten());
        let files = archives.map(|archive| &mut archive.file).chain([&mut self.image.file]);
        files.for_each(|file| *file = without_password(file));
        self
    }

    /// A tar image must say what to boot and on which filesystem.
    fn check_tar(&self, fields: &Fields<'_>) -> Result<(), Invalid> {
        let wanted = [
            ("kernel", &self.boot.kernel, true),
            ("filesystem", &self.filesystem, true),
            ("hypervisor", &self.boot.hypervisor, self.os == OsKind::Xen),
        ];
        if self.image.kind != ImageKind::Tar {
            return Ok(());
        }
        match wanted.iter().find(|(_, value, needed)| *needed && value.is_empty()) {
            None => Ok(()),
            Some((name, ..)) => Err(fields.wrong(
                if *name == "filesystem" { "filesystem" } else { "boot" },
                format!(
                    "The field '{name}' is mandatory for OS {} with the 'tar' image kind",
                    self.os.word()
                ),
            )),
        }
    }
}

const VISIBILITIES: [(&str, Visibility); 3] = [
    ("public", Visibility::Public),
    ("private", Visibility::Private),
    ("shared", Visibility::Shared),
];
const OS_KINDS: [(&str, OsKind); 3] =
    [("linux", OsKind::Linux), ("xen", OsKind::Xen), ("other", OsKind::Other)];
const IMAGE_KINDS: [(&str, ImageKind); 3] =
    [("tar", ImageKind::Tar), ("dd", ImageKind::Dd), ("fsa", ImageKind::Fsa)];
/// Fields of other generations of descriptions that are known and change nothing here.
const LATER: [&str; 4] = ["arch", "alias", "options", "user"];

fn image(fields: &Fields<'_>) -> Result<Image, Invalid> {
    let file = fields.text("file")?;
    let kind = fields.choice("kind", &IMAGE_KINDS, None)?;
    let compression = if kind == ImageKind::Fsa {
        let level = fields.integer_or("compression", 0)?;
        match u8::try_from(level) {
            Ok(level @ 0..=9) => Compression::Level(level),
            _ => return Err(fields.wrong("compression", "must be in the range 0..9")),
        }
    } else {
        fields.choice("compression", &Compression::STREAMS, None)?
    };
    let sha256 = fields.text_or("sha256", "")?.to_ascii_lowercase();
    if !sha256.is_empty() && (sha256.len() != 64 || !sha256.chars().all(|c| c.is_ascii_hexdigit()))
    {
        return Err(fields.wrong("sha256", "must be 64 hexadecimal digits"));
    }
    Ok(Image { file, kind, compression, sha256: (!sha256.is_empty()).then_some(sha256) })
}

fn archive(fields: &Fields<'_>) -> Result<Archive, Invalid> {
    let script = fields.text_or("script", "none")?;
    Ok(Archive {
        file: fields.text("archive")?,
        compression: fields.choice("compression", &Compression::STREAMS, None)?,
        script: (script != "none").then_some(script),
        sha256: None,
    })
}

fn postinstalls(
    fields: &Fields<'_>,
    map: &Map<String, Value>,
) -> Result<Option<Vec<Archive>>, Invalid> {
    let given = map.get("postinstalls").is_some_and(|value| !value.is_null());
    let list = fields.sections("postinstalls")?.iter().map(archive).collect::<Result<_, _>>()?;
    Ok(given.then_some(list))
}

fn boot(fields: &Fields<'_>) -> Result<Boot, Invalid> {
    Ok(Boot {
        kernel: fields.text_or("kernel", "")?,
        initrd: fields.text_or("initrd", "")?,
        kernel_params: fields.text_or("kernel_params", "")?,
        hypervisor: fields.text_or("hypervisor", "")?,
        hypervisor_params: fields.text_or("hypervisor_params", "")?,
    })
}

/// Goes into a shell command on the nodes: a plain word.
fn filesystem(fields: &Fields<'_>) -> Result<String, Invalid> {
    let name = fields.text_or("filesystem", "")?;
    if name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
        Ok(name)
    } else {
        Err(fields.wrong("filesystem", format!("'{name}' is not the name of a filesystem")))
    }
}

fn partition_type(fields: &Fields<'_>) -> Result<u8, Invalid> {
    let number = fields.integer_or("partition_type", 0)?;
    u8::try_from(number).map_err(|_| fields.wrong("partition_type", "must be in the range 0..255"))
}

fn multipart(fields: &Fields<'_>) -> Result<(), Invalid> {
    if fields.boolean_or("multipart", false)? {
        return Err(fields.wrong("multipart", "multipartition images are not yet supported"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn debian() -> Value {
        json!({
            "name": "debian12", "os": "linux", "filesystem": "ext4", "partition_type": 131,
            "image": {"file": "server:///img.tar.zst", "kind": "tar", "compression": "zstd"},
            "postinstalls": [{"archive": "server:///p.tgz", "compression": "gzip", "script": "go /rambin"}],
            "boot": {"kernel": "/vmlinuz", "initrd": "/initrd.img"},
        })
    }

    fn parse(value: &Value) -> Result<Environment, Invalid> {
        Environment::parse(value.as_object().unwrap())
    }

    #[test]
    fn a_full_description_is_understood() {
        let environment = parse(&debian()).unwrap();
        assert_eq!(environment.version, 1);
        assert_eq!(environment.visibility, Visibility::Private);
        assert_eq!(environment.image.compression.program(), "zstd");
        assert_eq!(environment.partition_type, 0x83);
        assert_eq!(environment.postinstalls.unwrap()[0].script.as_deref(), Some("go /rambin"));
    }

    #[test]
    fn a_minimal_dd_image_needs_neither_kernel_nor_filesystem() {
        let image = json!({"file": "a", "kind": "dd", "compression": "gzip"});
        let environment = parse(&json!({"name": "n", "os": "other", "image": image})).unwrap();
        assert_eq!((environment.postinstalls, environment.filesystem.as_str()), (None, ""));
    }

    #[test]
    fn each_mistake_names_its_field() {
        let cases = [
            (json!({"name": null}), "The field is mandatory [field: name]"),
            (json!({"image": null}), "The field is mandatory [field: image]"),
            (json!({"name": 3}), "The field should have the type String [field: name]"),
            (
                json!({"os": "bsd"}),
                "Invalid value 'bsd', allowed values are: 'linux', 'xen' or 'other' [field: os]",
            ),
            (
                json!({"boot": {}}),
                "The field 'kernel' is mandatory for OS linux with the 'tar' image kind [field: boot]",
            ),
            (
                json!({"filesystem": "ext4; reboot"}),
                "'ext4; reboot' is not the name of a filesystem [field: filesystem]",
            ),
            (json!({"partition_type": 256}), "must be in the range 0..255 [field: partition_type]"),
            (
                json!({"postinstalls": [{"compression": "gzip"}]}),
                "The field is mandatory [field: postinstalls/0/archive]",
            ),
        ];
        for (change, message) in cases {
            let mut value = debian();
            value.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            assert_eq!(parse(&value).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn unknown_fields_are_told() {
        let mut value = debian();
        value["image"]["colour"] = json!("red");
        assert_eq!(parse(&value).unwrap().unused, ["image/colour"]);
    }
}

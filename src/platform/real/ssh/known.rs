//! Host keys that files of known hosts have, in the form that sshd(8) tells of.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use std::{
    fs,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// Files of known hosts, and the name under which a host is looked up there.
#[derive(Clone, Debug)]
pub(super) struct KnownHosts {
    pub(super) files: Vec<PathBuf>,
    /// `name`, or `[name]:port` where the port is another than 22.
    pub(super) name: String,
    /// Whether the key of a host that is in none of them is taken, and written into the first.
    pub(super) accept_new: bool,
}

/// A line about the host.
struct Line {
    revoked: bool,
    kind: String,
    key: Vec<u8>,
}

impl KnownHosts {
    pub(super) fn new(files: Vec<PathBuf>, host: &str, port: u16, accept_new: bool) -> Self {
        let name = if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") };
        Self { files, name: name.to_ascii_lowercase(), accept_new }
    }

    /// The algorithms for which the files have a key of the host, for the two sides to agree
    /// on one of them; none where they have no key.
    pub(super) fn algorithms(&self) -> Option<String> {
        let mut kinds: Vec<String> = Vec::new();
        for line in self.lines().filter(|line| !line.revoked) {
            let more: &[&str] = match &*line.kind {
                "ssh-rsa" => &["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"],
                other => &[other],
            };
            kinds.extend(more.iter().map(|&kind| kind.to_owned()));
        }
        (!kinds.is_empty()).then(|| kinds.join(","))
    }

    /// Whether `key` is the host's; otherwise why not.
    pub(super) fn judge(&self, key: &[u8]) -> Result<(), String> {
        let lines: Vec<Line> = self.lines().collect();
        if lines.iter().any(|line| line.revoked && line.key == key) {
            return Err(format!("revoked in {}", self.told()));
        }
        let known: Vec<&Line> = lines.iter().filter(|line| !line.revoked).collect();
        if known.iter().any(|line| line.key == key) {
            return Ok(());
        }
        match (known.is_empty(), self.accept_new) {
            (false, _) => Err(format!("another than in {}", self.told())),
            (true, true) => self.write_down(key),
            (true, false) => Err(format!("not in {} under the name {}", self.told(), self.name)),
        }
    }

    fn told(&self) -> String {
        self.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
    }

    fn lines(&self) -> impl Iterator<Item = Line> {
        // A file that is not there knows nobody.
        let texts = self.files.iter().filter_map(|file| fs::read_to_string(file).ok());
        let lines = texts.flat_map(|text| {
            text.lines().filter_map(|line| parse(line, &self.name)).collect::<Vec<_>>()
        });
        lines.collect::<Vec<_>>().into_iter()
    }

    fn write_down(&self, key: &[u8]) -> Result<(), String> {
        let Some(file) = self.files.first() else {
            return Err("in no file: there is none to write it into".to_owned());
        };
        let kind = kind(key).unwrap_or("unknown");
        let line = format!("{} {kind} {}\n", self.name, STANDARD.encode(key));
        append(file, &line)
            .map_err(|error| format!("new, and cannot be written into {}: {error}", file.display()))
    }
}

/// Adds a line to the end of a file. One call writes it, so that others who do so do not mix.
fn append(file: &Path, line: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::OpenOptions::new().append(true).read(true).create(true).open(file)?;
    let mut last = [b'\n'];
    if file.metadata()?.len() > 0 && file.metadata()?.is_file() {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    let line = if last == [b'\n'] { line.to_owned() } else { format!("\n{line}") };
    file.write_all(line.as_bytes())
}

/// A line of a file, if it is about the host `name`.
fn parse(line: &str, name: &str) -> Option<Line> {
    let mut words = line.split_whitespace().peekable();
    let revoked = match *words.peek()? {
        "@revoked" => words.next().is_some(),
        // A signed host key is none that we can judge.
        marker if marker.starts_with(['@', '#']) => return None,
        _ => false,
    };
    let (hosts, kind, key) = (words.next()?, words.next()?, words.next()?);
    let line = Line { revoked, kind: kind.to_owned(), key: STANDARD.decode(key).ok()? };
    means(hosts, name).then_some(line)
}

/// Whether a list of patterns means `name`.
fn means(hosts: &str, name: &str) -> bool {
    if let Some(hashed) = hosts.strip_prefix("|1|") {
        return hashed_as(hashed, name) == Some(true);
    }
    let mut found = false;
    for pattern in hosts.to_ascii_lowercase().split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if like(pattern.as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => found |= like(pattern.as_bytes(), name.as_bytes()),
        }
    }
    found
}

/// `salt|hash`: HMAC-SHA1 of the name.
fn hashed_as(hashed: &str, name: &str) -> Option<bool> {
    let (salt, hash) = hashed.split_once('|')?;
    let (salt, hash) = (STANDARD.decode(salt).ok()?, STANDARD.decode(hash).ok()?);
    let mut mac = Hmac::<Sha1>::new_from_slice(&salt).ok()?;
    mac.update(name.as_bytes());
    Some(mac.verify_slice(&hash).is_ok())
}

/// Whether a text is like a pattern of `*` and `?`.
fn like(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            like(rest, text) || (!text.is_empty() && like(pattern, &text[1..]))
        }
        ([b'?', rest @ ..], [_, text @ ..]) => like(rest, text),
        ([first, rest @ ..], [letter, text @ ..]) => first == letter && like(rest, text),
        _ => false,
    }
}

/// The algorithm that a key begins with (RFC 4253 section 6.6).
pub(super) fn kind(key: &[u8]) -> Option<&str> {
    let (length, rest) = key.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    std::str::from_utf8(rest.get(..length)?).ok()
}

#[cfg(test)]
mod tests {
    use super::means;

    #[test]
    fn hosts_are_found_by_name_pattern_and_hash() {
        let hashed = "|1|0sDO1Sg/tWUnUWR8m7uRY9qzVz4=|2gDeEnB1XU9BvA2Vg3gMlKqGQnk=";
        for (hosts, name, found) in [
            ("node-1.site", "node-1.site", true),
            ("node-1.site", "node-10.site", false),
            ("a,Node-?.site,b", "node-1.site", true),
            ("*.site,!node-1.*", "node-1.site", false),
            ("[node-1]:2222", "[node-1]:2222", true),
            ("*", "", true),
            (hashed, "node-1.site", false),
        ] {
            assert_eq!(means(hosts, name), found, "{hosts} {name}");
        }
    }
}

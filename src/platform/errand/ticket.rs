//! What lets an errand destroy what a disk holds.

use super::{Errand, place::device as word, quote};
use std::fmt;

/// Directory on the node with one directory for each ticket that was used there, in memory.
const USED: &str = "/run/kadence-tickets";

/// Shell function `disk_identity DEVICE`: prints what the kernel tells of the disk, on one
/// line; the world wide name and the serial number lie in other places for each driver, and
/// some tell neither.
const IDENTITY: &str = r#"
disk_identity() {
  disk=$(readlink -f "$1") told=
  for fact in wwid device/wwid serial device/serial size; do
    said=
    { read -r said < "/sys/block/${disk##*/}/$fact"; } 2>/dev/null
    [ -z "$said" ] || told="$told${told:+, }${fact##*/} $said"
  done
  printf '%s\n' "$told"
}
"#;

/// Which disk it is, as its node tells: world wide name, serial number, size in sectors, as
/// far as they are known. Two texts of one disk are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct DiskId(String);

impl DiskId {
    /// The identity that [`Errand::IdentifyDisk`] printed.
    pub fn told(output: &str) -> Self {
        Self(output.trim().to_owned())
    }
}

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "a disk that tells nothing" } else { &self.0 })
    }
}

/// Good for one errand of one operation on one disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskTicket {
    /// Never given twice; a file name.
    pub id: String,
    /// The disk as the system calls it: `/dev/sda`.
    pub device: String,
    /// Which disk that must be.
    pub disk: DiskId,
}

impl DiskTicket {
    /// Why the ticket is not good for `found`.
    pub fn other_disk(&self, found: &DiskId) -> String {
        let Self { id, device, disk } = self;
        format!("refused: the ticket {id} is for {device}: {disk}; what is there now is: {found}")
    }

    /// Why the ticket is not good any more.
    pub fn used(&self) -> String {
        format!("refused: the ticket {} has been used: it is good for one write", self.id)
    }
}

/// Text that prints which disk `device` is.
pub(super) fn identify(device: &str) -> String {
    format!("{IDENTITY}disk_identity {}", word(device))
}

/// `text` where `ticket` is good: the disk is the one, and the ticket is used up before.
pub(super) fn with(ticket: &DiskTicket, text: &str) -> String {
    let other = quote(&ticket.other_disk(&DiskId("$found".to_owned())));
    // What the node finds is put in by the node.
    let other = other.replace("$found", "'\"$found\"'");
    let device = word(&ticket.device);
    let [disk, used] = [&ticket.disk.0, &ticket.used()].map(|word| quote(word));
    let mark = quote(&format!("{USED}/{}", ticket.id));
    format!(
        "{IDENTITY}found=$(disk_identity {device})
[ \"$found\" = {disk} ] || {{ printf '%s\\n' {other} >&2; exit 1; }}
mkdir -p {USED} || exit
mkdir {mark} || {{ [ ! -d {mark} ] || printf '%s\\n' {used} >&2; exit 1; }}
{text}"
    )
}

impl Errand {
    /// The errand itself, without its ticket: what people know it by.
    pub fn bare(&self) -> &Self {
        if let Self::Ticketed { errand, .. } = self { errand } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path, process::Command};

    /// What a shell says to `text` on a machine whose files lie in `root`.
    fn run(root: &Path, text: &str) -> (bool, String) {
        let at = |path: &str| format!("{}{path}", root.display());
        let text = text.replace("/sys/block", &at("/sys")).replace(USED, &at("/used"));
        let run = Command::new("sh").args(["-c", &text]).output().unwrap();
        let said = [run.stdout, run.stderr].concat();
        (run.status.success(), String::from_utf8(said).unwrap().trim().to_owned())
    }

    #[test]
    fn a_disk_is_known_by_what_its_driver_tells() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("sys/sda");
        let identify = || run(dir.path(), &identify("/dev/sda"));
        assert_eq!(identify(), (true, String::new()));
        fs::create_dir_all(disk.join("device")).unwrap();
        fs::write(disk.join("size"), "2048\n").unwrap();
        assert_eq!(identify().1, "size 2048");
        fs::write(disk.join("device/wwid"), "t10.ATA     DISK  \\x20'1'  \n").unwrap();
        fs::write(disk.join("serial"), "S $1\n").unwrap();
        assert_eq!(identify().1, "wwid t10.ATA     DISK  \\x20'1', serial S $1, size 2048");
    }

    #[test]
    fn a_ticket_is_good_once_and_for_its_disk() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("sys/sda");
        fs::create_dir_all(&disk).unwrap();
        fs::write(disk.join("serial"), "it's A\n").unwrap();
        let ticket = |number: u8| DiskTicket {
            id: format!("D-1.{number}"),
            device: "/dev/sda".into(),
            disk: DiskId::told("serial it's A"),
        };
        let write = |ticket: &DiskTicket| run(dir.path(), &with(ticket, "echo written"));
        assert_eq!(write(&ticket(1)), (true, "written".into()));
        let (done, said) = write(&ticket(1));
        assert!(!done && said.ends_with(&ticket(1).used()) && !said.contains("written"), "{said}");
        assert_eq!(write(&ticket(2)), (true, "written".into()));
        fs::write(disk.join("serial"), "B\n").unwrap();
        let refused = ticket(3).other_disk(&DiskId::told("serial B"));
        assert_eq!(write(&ticket(3)), (false, refused));
        // It was not used up by that.
        fs::write(disk.join("serial"), "it's A\n").unwrap();
        assert_eq!(write(&ticket(3)), (true, "written".into()));
    }
}

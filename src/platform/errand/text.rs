//! Errands as text for a POSIX shell.

use super::{
    DEVICES, Errand, Unpacking, Variables,
    place::{device, with_places},
    ticket,
};
use crate::environments::Compression;

/// Shell function `inside ROOT PATH`: prints where PATH is below ROOT, links followed as
/// in a chroot, and fails if no file is there.
pub(super) const INSIDE: &str = r#"
inside() {
  root=$1 todo=$2 place= links=0
  while [ -n "$todo" ]; do
    part=${todo%%/*}
    case $todo in */*) todo=${todo#*/} ;; *) todo= ;; esac
    case $part in ''|.) continue ;; ..) place=${place%/*}; continue ;; esac
    if [ -L "$root$place/$part" ]; then
      links=$((links + 1)); [ "$links" -le 40 ] || return 1
      link=$(readlink "$root$place/$part")
      case $link in /*) place= ;; esac
      todo=$link${todo:+/$todo}
    else
      place=$place/$part
    fi
  done
  printf '%s\n' "$root$place"; [ -f "$root$place" ]
}
"#;

/// Shell function `tidy DIRECTORY`: ends relays, whose receivers then end at the end of their
/// input, and unmounts what is mounted at and below DIRECTORY, the innermost first. It waits
/// ten seconds for those that still use it, then ends them too: a mount that is only hidden
/// could still be written to. The brackets keep the shell that runs this from being taken for a
/// relay: its own command line has the pattern. `quiet DIRECTORY` does the same and leaves the mounts. Neither
/// waits for who writes to a device itself: that is what the turn is for.
const TIDY: &str = r#"
told() { tr '\0' ' ' < "$1/cmdline"; } 2>/dev/null
places() {
  while read -r device place rest; do
    case $place in "$1"|"$1"/*) printf '%s
' "$place" ;; esac
  done < /proc/mounts | sort -r
}
users() {
  for process in /proc/[0-9]*; do
    for use in "$process"/cwd "$process"/root "$process"/fd/*; do
      case $(readlink "$use" 2>/dev/null) in "$1"|"$1"/*) printf '%s
' "${process##*/}"; break ;; esac
    done
  done
}
relays() {
  for process in /proc/[0-9]*; do
    case $(told "$process") in
      kadence-relay\ *|*/kadence-relay\ *|*/kadence/relay[-]*) kill -9 "${process##*/}" 2>/dev/null ;;
    esac
  done
}
quiet() {
  relays
  for try in 1 2 3 4 5 6 7 8 9 10 11 12; do
    left=$(users "$1")
    [ -n "$left" ] || return 0
    [ "$try" -lt 10 ] || for user in $left; do kill -9 "$user" 2>/dev/null; done
    sleep 1
  done
  echo "$1 is still in use: reboot the node" >&2
  return 1
}
tidy() {
  relays
  sync
  for try in 1 2 3 4 5 6 7 8 9 10 11 12; do
    left=
    for place in $(places "$1"); do umount "$place" 2>/dev/null || left=$place; done
    [ -n "$left" ] || return 0
    [ "$try" -lt 10 ] || users "$1" | while read -r user; do kill -9 "$user" 2>/dev/null; done
    sleep 1
  done
  echo "$left is still in use: reboot the node" >&2
  return 1
}
"#;

/// Quotes `text` as one word of a POSIX shell.
pub(in crate::platform) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Held on a node by what [takes its turn](Errand::takes_turn) there.
const TURN: &str = "/run/kadence.turn";

/// How long one waits for its turn, seconds: longer than most steps may take.
const PATIENCE: u32 = 900;

impl Errand {
    /// What root's login shell is told so that what must not meet does not: [`text`](Self::text),
    /// in its turn. A system without flock(1) goes without.
    pub(in crate::platform) fn in_turn(&self) -> String {
        self.with_turn(TURN, PATIENCE)
    }

    pub(super) fn with_turn(&self, turn: &str, patience: u32) -> String {
        let text = self.text();
        if !self.takes_turn() {
            return text;
        }
        // What the command leaves behind does not keep the turn.
        format!(
            "{{ ! command -v flock >/dev/null || flock -w {patience} 9 || {{ echo a command of before still \
             changes the disks of this node: look at its processes, or boot it anew >&2; exit 1; }}
(
{text}
) 9>&-
}} 9>{turn}"
        )
    }

    /// What root's login shell is told.
    pub fn text(&self) -> String {
        with_places(self.plain())
    }

    fn plain(&self) -> String {
        match self {
            Self::BootId => "cat /proc/sys/kernel/random/boot_id".to_owned(),
            Self::IdentifyDisk { device } => ticket::identify(device),
            Self::Ticketed { ticket, errand } => ticket::with(ticket, &errand.plain()),
            Self::Partition(variables)
            | Self::InstallBootLoader(variables)
            | Self::Format(variables) => script(variables, &[]),
            Self::RunScript { variables, arguments } => script(variables, arguments),
            Self::Exec { variables, command } => exec(variables, command),
            Self::Store { path } => store(path),
            // Braces end after a newline: the errand's own text may end with a comment or `&`.
            Self::FromFile { path, errand } => {
                format!("{{\n{}\n}} < {}", errand.plain(), quote(path))
            }
            Self::Restore { path, level, parts } => restore(path, *level, parts),
            Self::LoadDrivers(drivers) => load(drivers),
            Self::RootDevice { beside } => format!(
                "mount | grep ' / ' | cut -f 1 -d ' ' | head -n 1; printf '%s\n' {}",
                device(beside)
            ),
            Self::MakeFilesystem { filesystem, options, partition, directory } => {
                make_filesystem([filesystem, partition, directory], options)
            }
            Self::MakeSwap { partition } => {
                format!("{}; mkswap {}", exists(partition), device(partition))
            }
            Self::Mount { partition, directory } => mount(partition, directory),
            Self::Unmount { partition } => unmount(&device(partition)),
            Self::Sync => "sync".to_owned(),
            Self::AddKeys { directory } => add_keys(&quote(directory)),
            Self::Unpack(archive) => unpack(archive),
            Self::UnpackArchive(archive) => {
                format!("mkdir -p {} && {}", quote(&archive.directory), unpack(archive))
            }
            Self::WriteImage { compression, device: to } => {
                format!("{}; {} -dc > {}", exists(to), compression.program(), device(to))
            }
            Self::RunArchive { directory, script, variables } => {
                format!("env {} {directory}/{script}", assignments(variables))
            }
            Self::CheckFiles { root, files } => check(root, files),
            Self::Kexec { .. } => kexec(self),
            Self::Tidy { directory, unmount } => {
                format!("{TIDY}{} {}", if *unmount { "tidy" } else { "quiet" }, quote(directory))
            }
            Self::Reboot => detached("/sbin/reboot -f"),
            Self::Text(text) => text.clone(),
        }
    }
}

fn exec(variables: &Variables, command: &str) -> String {
    let variables = assignments(variables);
    if variables.is_empty() { command.to_owned() } else { format!("export {variables}\n{command}") }
}

fn load(drivers: &[String]) -> String {
    let load = |driver: &String| format!("modprobe {}", quote(driver));
    drivers.iter().map(load).collect::<Vec<_>>().join(" && ")
}

fn make_filesystem([filesystem, partition, directory]: [&str; 3], options: &str) -> String {
    let exists = exists(partition);
    let [filesystem, directory] = [filesystem, directory].map(quote);
    let partition = device(partition);
    format!(
        "{exists}; mkdir -p {directory}; umount {partition} 2>/dev/null; mkfs -t {filesystem} {options} {partition}"
    )
}

fn mount(partition: &str, directory: &str) -> String {
    let (partition, directory) = (device(partition), quote(directory));
    // A second run finds it mounted already.
    format!(
        "mkdir -p {directory} && {{ mountpoint -q {directory} || mount {partition} {directory}; }}"
    )
}

fn unmount(partition: &str) -> String {
    format!(
        "sync; ! grep -q ^{partition}' ' /proc/mounts || umount {partition} || umount -l {partition}"
    )
}

fn add_keys(directory: &str) -> String {
    format!("umask 077; mkdir -p {directory} && cat - >> {directory}/authorized_keys")
}

/// Ends the command where `partition` does not exist: the tools that would use it say less,
/// and what is redirected to it would become a file in `/dev`.
fn exists(partition: &str) -> String {
    let path = partition.starts_with("/dev/") && !partition.contains(['@', '#']);
    let disk = if path {
        partition.trim_end_matches(|last: char| last.is_ascii_digit())
    } else {
        "/dev/[hnsv]"
    };
    let disk = if path { quote(disk) } else { disk.to_owned() };
    let (device, partition) = (device(partition), quote(partition));
    format!(
        "[ -b {device} ] || {{ echo there is no partition {partition} on this node: choose \
         another one with deploy_partition \\(-p\\), or let the partitioning script make it. \
         What it has: {disk}* >&2; exit 1; }}"
    )
}

/// Variables as quoted `NAME='value'` words.
fn assignments(variables: &Variables) -> String {
    let word = |(name, value): &(String, String)| {
        let value = if DEVICES.contains(&name.as_str()) { device(value) } else { quote(value) };
        format!("{name}={value}")
    };
    variables.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn script(variables: &Variables, arguments: &[String]) -> String {
    let variables = assignments(variables);
    let arguments: String = arguments.iter().map(|word| format!(" {}", quote(word))).collect();
    format!(
        "t=$(mktemp) && cat >\"$t\" && chmod 755 \"$t\" && env {variables} \"$t\"{arguments}; s=$?; rm -f \"$t\"; exit $s"
    )
}

fn store(path: &str) -> String {
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    format!("mkdir -p {}/ && cat > {}", quote(directory), quote(path))
}

fn restore(path: &str, level: u8, parts: &[(i64, String)]) -> String {
    let mut text = String::new();
    for (_, partition) in parts {
        text += &format!("{}; ", exists(partition));
    }
    text += &format!(
        "fsarchiver -j $(grep -c '^processor' /proc/cpuinfo) -z {level} restfs {}",
        quote(path)
    );
    for (id, partition) in parts {
        text += &format!(" id={id},dest={}", device(partition));
    }
    text
}

/// The decompressor stands before tar, not under it: tar reads a pipe for its own in blocks of
/// 10 KiB and copies them once more, which costs an emulated processor as much as all else
/// (321 MB: 41 seconds of it instead of 70). GNU tar takes its block size from the environment,
/// others leave it. Where the shell can tell, a decompressor that fails fails the whole.
fn unpack(archive: &Unpacking) -> String {
    let (directory, further) = (quote(&archive.directory), &archive.options);
    let tar = format!("TAR_OPTIONS=-b128 tar {further} -C {directory} --numeric-owner -x -p -f -");
    match archive.compression {
        Compression::Level(_) => tar,
        compression => format!(
            "(set -o pipefail) 2>/dev/null && set -o pipefail; {} -dc | {tar}",
            compression.program()
        ),
    }
}

fn check(root: &str, files: &[(&'static str, String)]) -> String {
    let root = quote(root);
    let mut text = INSIDE.to_owned();
    for (what, path) in files {
        text += &format!(
            "f=$(inside {root} {0}) || {{ echo Environment {what} file {0} not found in tarball \"($f)\": \
             correct boot/{what} of the description, or the image >&2; exit 1; }}\n",
            quote(path),
        );
    }
    text
}

/// A `command` with which the machine leaves: detached, so that ssh can end before. The network
/// cards rest first: one that is shut down while it sends may never return (seen in guests with
/// virtio-net and Linux 6.1: a processor that spins for ever).
fn detached(command: &str) -> String {
    format!(
        "nohup sh -c 'sleep 0.2; for d in /sys/class/net/*; do ip link set ${{d##*/}} down; done; {command}' >/dev/null 2>&1 </dev/null &"
    )
}

/// Loads and jumps; or gives kernel, initial ramdisk and command line to the site's own program.
fn kexec(errand: &Errand) -> String {
    let Errand::Kexec { root, kernel, initrd, params, root_device, mounted, script } = errand
    else {
        return String::new();
    };
    let [root, kernel, initrd, params] = [root, kernel, initrd, params].map(|word| quote(word));
    let root_device = root_device.as_deref().map(|name| format!("root={}' '", device(name)));
    let params = format!("{}{params}", root_device.unwrap_or_default());
    let find = format!(
        "{INSIDE}
k=$(inside {root} {kernel}) || {{ echo kernel not found: \"$k\" >&2; exit 1; }}
i=
if [ -n {initrd} ]; then
  i=$(inside {root} {initrd}) || {{ echo initrd not found: \"$i\" >&2; exit 1; }}
fi
p={params}"
    );
    if let Some(variables) = script {
        let variables = assignments(variables);
        return format!(
            "{find}
t=$(mktemp) && cat >\"$t\" && chmod 755 \"$t\" && env {variables} \"$t\" \"$k\" \"$i\" \"$p\""
        );
    }
    let unmount =
        if *mounted { format!("umount {root} || umount -l {root}; ") } else { String::new() };
    format!(
        "{find}
set -- -l \"$k\" --append=\"$p\"
[ -z \"$i\" ] || set -- \"$@\" --initrd=\"$i\"
/sbin/kexec \"$@\" || exit
{unmount}sync
{}",
        detached("/sbin/kexec -e || /sbin/reboot -f")
    )
}

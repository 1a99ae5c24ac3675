//! Disks and partitions that a node knows by other names than paths.
//!
//! | name | what |
//! |---|---|
//! | `/dev/sda`, `/dev/sda3` | a path: itself |
//! | `/dev/disk/by-path/X`, and with `-part3` | a place on a bus, with udev's link or without |
//! | `disk0` | the first disk, or what a site's own `/dev/disk0` is |
//! | `disk0#3` | a partition of it by number |
//! | `PROD@disk0`, `PROD@/dev/sda`, `PROD` | a partition by its label in the table, else by that of its filesystem |

use super::quote;

/// Shell function `place NAME`: prints the device that a name stands for, nothing where there is
/// none. The kernel's own tables are read: a deployment system need not have udev.
pub(super) const PLACES: &str = r#"
disk() {
  case $1 in
    /dev/disk/by-path/*)
      if [ -e "$1" ]; then readlink -f "$1"; return; fi
      bus=${1#/dev/disk/by-path/pci-}; bus=${bus%%-*}
      for block in /sys/block/*; do
        case $(readlink -f "$block/device")/ in */"$bus"/*) echo "/dev/${block##*/}"; return ;; esac
      done
      return 1 ;;
    /*) printf '%s\n' "$1" ;;
    *)
      if [ -e "/dev/$1" ]; then readlink -f "/dev/$1"; return; fi
      left=${1#disk}
      for block in /sys/block/*; do
        [ -e "$block/device" ] && [ "$(cat "$block/removable" 2>/dev/null)" != 1 ] || continue
        case ${block##*/} in sr*|fd*) continue ;; esac
        if [ "$left" -eq 0 ]; then echo "/dev/${block##*/}"; return; fi
        left=$((left - 1))
      done
      return 1 ;;
  esac
}
numbered() {
  case $1 in '') return 1 ;; *[0-9]) echo "$1p$2" ;; *) echo "$1$2" ;; esac
}
labelled() {
  on=
  [ -z "$2" ] || { on=$(disk "$2") && on=$(readlink -f "$on"); } || return 1
  for label in table filesystem; do
    for part in /sys/class/block/*/partition; do
      part=${part%/partition}
      case $(readlink -f "$part") in */"${on##*/}"/*) ;; *) [ -z "$on" ] || continue ;; esac
      case $label in
        table) grep -qx "PARTNAME=$1" "$part/uevent" 2>/dev/null ;;
        *) [ "$(blkid -o value -s LABEL "/dev/${part##*/}" 2>/dev/null)" = "$1" ] ;;
      esac || continue
      echo "/dev/${part##*/}"; return
    done
  done
  return 1
}
place() {
  case $1 in
    *@*) labelled "${1%%@*}" "${1#*@}" ;;
    *'#'*) numbered "$(disk "${1%'#'*}")" "${1##*'#'}" ;;
    /dev/disk/by-path/*-part[0-9]*) numbered "$(disk "${1%-part*}")" "${1##*-part}" ;;
    /*) disk "$1" ;;
    disk[0-9]*) disk "$1" ;;
    *) labelled "$1" '' ;;
  esac
}
"#;

/// How a name is looked up in a text.
const LOOK_UP: &str = "\"$(place ";

/// A word of the shell that is the device called `name`.
pub(super) fn device(name: &str) -> String {
    let path = name.starts_with('/') && !name.starts_with("/dev/disk/by-path/");
    if path && !name.contains(['@', '#']) {
        quote(name)
    } else {
        format!("{LOOK_UP}{})\"", quote(name))
    }
}

/// `text` with what it needs to look names up.
pub(super) fn with_places(text: String) -> String {
    if text.contains(LOOK_UP) { format!("{PLACES}{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

    /// A machine with two disks: sda with partitions 1 (PROD) and 2 (TMP), nvme0n1 with p1 (PROD).
    fn machine(root: &Path) {
        let sys = root.join("sys");
        let disk = |name: &str, bus: &str, parts: &[(&str, &str)]| {
            let disk = sys.join(format!("devices/pci0000:00/{bus}/block/{name}"));
            fs::create_dir_all(&disk).unwrap();
            fs::write(disk.join("removable"), "0\n").unwrap();
            symlink("../..", disk.join("device")).unwrap();
            fs::create_dir_all(sys.join("block")).unwrap();
            fs::create_dir_all(sys.join("class/block")).unwrap();
            symlink(&disk, sys.join("block").join(name)).unwrap();
            for (number, (part, label)) in (1..).zip(parts) {
                let part_dir = disk.join(part);
                fs::create_dir_all(&part_dir).unwrap();
                fs::write(part_dir.join("partition"), format!("{number}\n")).unwrap();
                fs::write(part_dir.join("uevent"), format!("PARTNAME={label}\n")).unwrap();
                symlink(&part_dir, sys.join("class/block").join(part)).unwrap();
            }
        };
        disk("nvme0n1", "0000:5e:00.0", &[("nvme0n1p1", "PROD")]);
        disk("sda", "0000:18:00.0", &[("sda1", "PROD"), ("sda2", "TMP")]);
        let cd = sys.join("block/sr0");
        fs::create_dir_all(cd.join("device")).unwrap();
    }

    #[test]
    fn names_are_looked_up_in_the_kernels_own_tables() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        machine(&root);
        let sys = root.join("sys").display().to_string();
        let functions = PLACES.replace("/sys/", &format!("{sys}/"));
        let place = |name: &str| {
            let text = format!("{functions}blkid() {{ :; }}\nplace {}", quote(name));
            let run = Command::new("sh").args(["-c", &text]).output().unwrap();
            String::from_utf8(run.stdout).unwrap().trim().to_owned()
        };
        for (name, device) in [
            ("disk0", "/dev/nvme0n1"),
            ("disk1", "/dev/sda"),
            ("disk2", ""),
            ("disk0#3", "/dev/nvme0n1p3"),
            ("disk1#3", "/dev/sda3"),
            ("PROD@disk0", "/dev/nvme0n1p1"),
            ("PROD@disk1", "/dev/sda1"),
            ("TMP", "/dev/sda2"),
            ("TMP@disk0", ""),
            ("NONE", ""),
            ("/dev/disk/by-path/pci-0000:18:00.0-scsi-0:0:0:0", "/dev/sda"),
            ("/dev/disk/by-path/pci-0000:18:00.0-scsi-0:0:0:0-part2", "/dev/sda2"),
            ("TMP@/dev/disk/by-path/pci-0000:18:00.0-scsi-0:0:0:0", "/dev/sda2"),
            ("/dev/disk/by-path/pci-0000:ff:00.0-scsi-0:0:0:0", ""),
        ] {
            assert_eq!(place(name), device, "{name}");
        }
        assert_eq!(device("/dev/sda3"), "'/dev/sda3'");
        assert_eq!(device("disk0#3"), "\"$(place 'disk0#3')\"");
    }
}

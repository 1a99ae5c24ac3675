//! The image: broadcast, and what it must hold.

use super::{Run, Target, disk::no_target, gather::each, remote, variables::quote};
use crate::{
    environments::{Compression, ImageKind},
    platform::{Input, Progress, TransferJob},
};
use automata::{Context, Failures, NodeId, NodeSet, Outcome};
use tokio::time::Instant;

/// Sends the image to all nodes at once, straight into the program that unpacks it.
pub(super) async fn send(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let Some(target) = &run.target else { return no_target(nodes) };
    let began = Instant::now();
    let ids: Vec<NodeId> = nodes.iter().collect();
    let job = TransferJob {
        file: run.files().image,
        nodes: run.members(nodes),
        command: receive(run, target),
        deadline: remote::time_left(cx),
    };
    let progress = |at: Progress| run.journalist.progress(ids[at.node], at.written, at.total);
    let mut results = run.ports.transfer.broadcast(&job, &progress).await;
    let mut failed = Failures::new();
    for id in &ids {
        match results.remove(&run.node(*id).name) {
            Some(Ok(())) => {}
            Some(Err(error)) => drop(failed.insert(*id, error.to_string().into())),
            None => drop(failed.insert(*id, "the transfer gave no result for this node".into())),
        }
    }
    if failed.len() < ids.len() {
        let text = format!("   * Broadcast time: {}s", began.elapsed().as_secs());
        run.journalist.message(3, text);
    }
    Outcome::all_but(nodes, failed)
}

/// The program that takes the image on its standard input.
fn receive(run: &Run, target: &Target) -> String {
    let image = &target.environment.image;
    match image.kind {
        ImageKind::Tar => unpack(run, &run.settings.extraction_dir, image.compression),
        ImageKind::Dd | ImageKind::Fsa => {
            format!("{} -dc > {}", image.compression.program(), quote(&target.partition))
        }
    }
}

/// Shell text that unpacks a compressed tar from standard input into `directory`.
pub(super) fn unpack(run: &Run, directory: &str, compression: Compression) -> String {
    let option = match compression {
        Compression::Gzip => "-z",
        Compression::Bzip2 => "-j",
        Compression::Xz => "-J",
        Compression::Zstd => "--zstd",
        Compression::Level(_) => "",
    };
    let (directory, further) = (quote(directory), &run.settings.tar_options);
    format!("tar {further} -C {directory} --numeric-owner -x -p {option} -f -")
}

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

/// Fails where the kernel or the initial ramdisk is not in the image.
pub(super) async fn check_kernel_files(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let Some(target) = &run.target else { return no_target(nodes) };
    let root = quote(&run.settings.extraction_dir);
    let boot = &target.environment.boot;
    let mut text = INSIDE.to_owned();
    for (what, path) in [("kernel", &boot.kernel), ("initrd", &boot.initrd)] {
        if !path.is_empty() {
            text += &format!(
                "f=$(inside {root} {}) || {{ echo \"Environment {what} file {}\" not found in tarball \"($f)\" >&2; exit 1; }}\n",
                quote(path),
                path.replace(['"', '$', '`', '\\'], "?"),
            );
        }
    }
    let text = &text;
    each(
        nodes,
        cx,
        |id| async move { remote::command(run, cx, id, text, Input::Empty).await.map(drop) },
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::INSIDE;
    use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

    fn inside(root: &Path, path: &str) -> (bool, String) {
        let script = format!("{INSIDE} inside \"$1\" \"$2\"");
        let run = Command::new("sh").args(["-c", &script, "sh"]).arg(root).arg(path).output();
        let run = run.unwrap();
        let found = String::from_utf8(run.stdout).unwrap();
        (run.status.success(), found.trim().replace(root.to_str().unwrap(), ""))
    }

    #[test]
    fn links_are_followed_as_in_a_chroot() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir(root.join("boot")).unwrap();
        fs::write(root.join("boot/vmlinuz-6"), "").unwrap();
        symlink("/boot/vmlinuz-6", root.join("vmlinuz")).unwrap();
        symlink("vmlinuz-6", root.join("boot/vmlinuz")).unwrap();
        symlink("../../../boot", root.join("kernels")).unwrap();
        symlink("/etc/passwd", root.join("passwd")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        for path in ["/vmlinuz", "boot/vmlinuz", "/kernels/./vmlinuz", "/../vmlinuz"] {
            assert_eq!(inside(root, path), (true, "/boot/vmlinuz-6".into()), "{path}");
        }
        for path in ["/missing", "/passwd", "/loop", "/boot"] {
            assert!(!inside(root, path).0, "{path}");
        }
    }
}

//! The files with which the service runs in the lab, as an administrator would write them.
//!
//! * `server` – `server.conf`: the service and the servers that nodes boot from
//! * `clusters` – the nodes and, for each kind of machine, its cluster's file
//! * `examples` – what an administrator may start from: so does the lab
//! * `repository` – the files that nodes load over the network

mod clusters;
pub(super) mod examples;
mod repository;
mod server;

use super::{
    LabError, Label, Place, Plan, cache_dir, error::Context, place::write_private, process::run,
};
use examples::{ORIGIN, laid_over};
use std::{path::Path, time::Duration};

/// `ssh-keygen` takes well under a second.
const KEYGEN_LIMIT: Duration = Duration::from_secs(30);
/// The boot loader script of the clusters, among the examples.
const BOOTLOADER_SCRIPT: &str = "install-grub";

/// Environments to deploy, among the examples, and the images that `ramdisk/image` builds for them.
const ENVIRONMENTS: [(&str, &str); 2] =
    [("debian12.yaml", "debian12.tar.zst"), ("debian12-dd.yaml", "debian12-dd.zst")];

const CLIENT_CONF: &str = "\
default: lab
servers:
- {name: lab, hostname: 127.0.0.1, port: 25300, secure: false}
";

/// Writes to `dir` what `kadence serve --config-dir DIR` needs inside the lab: its files, its
/// keys, and the repository that nodes boot from.
pub async fn write_config(place: &Place, plan: &Plan, dir: &Path) -> Result<(), LabError> {
    let dir = std::path::absolute(dir).context(|| format!("finding {}", dir.display()))?;
    let profiles = format!("tftp/{}", server::profiles(plan.loader).0);
    let folders =
        ["keys", "scripts", "environments", "tftp/userfiles", &profiles, "state", "cache"];
    for folder in folders {
        let folder = dir.join(folder);
        std::fs::create_dir_all(&folder).context(|| format!("making {}", folder.display()))?;
    }
    let key = dir.join("keys/id_deploy");
    make_key(&key).await?;
    repository::fill(plan, &dir.join("tftp")).await?;
    let examples = examples::dir()?;
    let of_examples = |from: &str, to: &str| copy(&examples.join(from), &dir.join(to), ORIGIN);
    for script in [Label::Gpt.script(), Label::Msdos.script(), BOOTLOADER_SCRIPT] {
        of_examples(script, &format!("scripts/{script}"))?;
    }
    for file in ["version", "command.conf"] {
        of_examples(&format!("site/{file}"), file)?;
    }
    write(&dir.join("client.conf"), CLIENT_CONF)?;
    for (file, image) in ENVIRONMENTS {
        let image = cache_dir().join("images").join(image);
        let own = format!("image: {{file: \"server://{}\"}}", image.display());
        let text = laid_over(&examples.join("environments").join(file), &own)?;
        write(&dir.join("environments").join(file), &text)?;
    }
    let server = laid_over(&examples.join("site/server.conf"), &server::text(plan, &dir))?;
    write_private(&dir.join("server.conf"), &server)?;
    write(&dir.join("clusters.conf"), &clusters::list(place, plan))?;
    let keys = [read(&key.with_extension("pub"))?, read(&place.user_key().with_extension("pub"))?];
    for kind in clusters::Kind::all(plan) {
        let path = dir.join(format!("{}.conf", kind.name()));
        let own = clusters::file(place, &dir, kind, &keys);
        write(&path, &laid_over(&examples.join("site/rack1.conf"), &own)?)?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, LabError> {
    std::fs::read_to_string(path).context(|| format!("reading {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), LabError> {
    std::fs::write(path, text).context(|| format!("writing {}", path.display()))
}

/// Copies `from`, by a link where that is possible: the ramdisk is large.
fn copy(from: &Path, to: &Path, origin: &'static str) -> Result<(), LabError> {
    if !from.is_file() {
        return Err(LabError::MissingFile { path: from.into(), origin });
    }
    let _ = std::fs::remove_file(to);
    std::fs::hard_link(from, to)
        .or_else(|_| std::fs::copy(from, to).map(drop))
        .context(|| format!("copying {} to {}", from.display(), to.display()))
}

/// The key with which the service logs in; kept if it is there.
async fn make_key(key: &Path) -> Result<(), LabError> {
    if key.exists() {
        return Ok(());
    }
    let path = key.to_string_lossy();
    let args = ["-q", "-t", "ed25519", "-N", "", "-C", "kadence", "-f", &path];
    run("ssh-keygen", &args, "", KEYGEN_LIMIT).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::{Place, Plan};
    use crate::lab::{Accel, Wishes, plan::tests::wishes};

    /// A BIOS, a UEFI and an AHCI node, the last from kernel to kernel.
    pub(super) fn lab(change: impl FnOnce(&mut Wishes)) -> (Place, Plan) {
        let place = Place::new("x", Some("/s".into()), "/opt/kadence".into()).unwrap();
        let mut wishes =
            Wishes { ahci: "3".parse().unwrap(), kexec: "3".parse().unwrap(), ..wishes(3) };
        change(&mut wishes);
        (place, Plan::new("x", &wishes, Accel::Tcg).unwrap())
    }

    pub(super) fn yaml(text: &str) -> serde_json::Value {
        serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
    }
}

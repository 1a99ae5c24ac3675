//! What a node says of itself, and what follows from it.
//!
//! A node is proved when it is the installed system that answers: `/` is the partition that was
//! deployed, with the file system made in this run; the boot is another than that of the
//! deployment system; the token of this run is there; the sampled files are those of the image.
//! What is expected was noted in the image by the post-install (`mark.sh`), what is found is
//! asked of the running system (`look.sh`).

use super::{
    super::{Guest, LabError, Place, inside, process::output},
    image::sample,
};
use crate::platform::boot_id::BootId;
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// One log-in with all questions, on an emulated processor.
const LOOK_LIMIT: Duration = Duration::from_secs(60);
/// Since the service has seen ssh answer, a log-in works after this time or not at all.
const LOGIN_LIMIT: Duration = Duration::from_secs(90);
/// Pause between two log-ins.
const LOGIN_PAUSE: Duration = Duration::from_secs(2);
/// Number of the deploy partition in the lab's configuration.
const DEPLOY_PARTITION: u8 = 3;

/// What is to be found on a node.
#[derive(Clone, Debug)]
pub(super) struct Expected<'a> {
    /// The token of this run.
    pub(super) token: &'a str,
    /// Path → digest.
    pub(super) sample: &'a BTreeMap<String, String>,
}

/// What was found on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Proof {
    /// What `/` is.
    pub(super) root: String,
    /// UUID of the file system of `/`, read from its device.
    pub(super) filesystem_uuid: String,
    /// UUID of the file system that the deployment made.
    pub(super) deployed_uuid: String,
    /// This boot.
    pub(super) boot_id: String,
    /// The boot of the deployment system.
    pub(super) deployment_boot_id: String,
    /// Is the token of this run there?
    pub(super) token: bool,
    /// Files that were compared with the image.
    pub(super) files: usize,
    /// Those that are the image's.
    pub(super) files_equal: usize,
    /// Release of the kernel.
    pub(super) kernel: String,
    /// Why the node is not proved; empty if it is.
    pub(super) missing: Vec<String>,
}

impl Proof {
    /// One line for people.
    pub(super) fn text(&self) -> String {
        if !self.missing.is_empty() {
            return format!("NOT proved: {}", self.missing.join("; "));
        }
        format!(
            "proved: / is {}, file system {} of this run, Linux {}, boot {} after {}, token, {} files of the image",
            self.root,
            self.filesystem_uuid,
            self.kernel,
            self.boot_id,
            self.deployment_boot_id,
            self.files
        )
    }
}

/// Asks `guest` over ssh and judges what it says.
pub(super) async fn prove(
    place: &Place,
    guest: &Guest,
    expected: &Expected<'_>,
) -> Result<Proof, LabError> {
    let mut script = include_str!("look.sh").to_owned();
    for path in expected.sample.keys() {
        script += &format!("{path}\n");
    }
    script += "SAMPLE\n";
    let deadline = Instant::now() + LOGIN_LIMIT;
    let said = loop {
        let ssh = inside::ssh(place, guest, &["sh -s".into()]);
        match output(ssh, &script, LOOK_LIMIT).await {
            Ok(said) => break said,
            Err(error) if Instant::now() >= deadline => return Err(in_short(error)),
            Err(_) => sleep(LOGIN_PAUSE).await,
        }
    };
    Ok(judge(&said, &format!("{}{DEPLOY_PARTITION}", guest.hardware.disk()), expected))
}

/// The error without the long command line of `ssh`.
fn in_short(error: LabError) -> LabError {
    match error {
        LabError::Command { status, stderr, .. } => {
            LabError::Command { command: "ssh".into(), status, stderr }
        }
        other => other,
    }
}

/// Judges what a node `said`, whose deploy partition is `part`.
fn judge(said: &str, part: &str, expected: &Expected<'_>) -> Proof {
    let facts: HashMap<&str, &str> = said.lines().filter_map(|line| line.split_once(' ')).collect();
    let fact = |name: &str| -> &str { facts.get(name).copied().unwrap_or_default().trim() };
    let found = sample(said);
    let equal = expected.sample.iter().filter(|(path, digest)| found.get(*path) == Some(digest));
    let mut proof = Proof {
        root: fact("root").into(),
        filesystem_uuid: fact("uuid").into(),
        deployed_uuid: fact("noted-uuid").into(),
        boot_id: fact("boot").into(),
        deployment_boot_id: fact("noted-boot").into(),
        token: fact("noted-token") == expected.token,
        files: expected.sample.len(),
        files_equal: equal.count(),
        kernel: fact("kernel").into(),
        missing: Vec::new(),
    };
    proof.missing = missing(&proof, part, fact);
    proof
}

/// Why a node is not proved; each check says what is not as it should be.
fn missing<'a>(proof: &Proof, part: &str, fact: impl Fn(&str) -> &'a str) -> Vec<String> {
    let boots = [&proof.boot_id, &proof.deployment_boot_id].map(|text| BootId::parse(text));
    let device = (fact("number"), fact("disk-number"));
    let checks = [
        (fact("system") != "deployment", "it runs the deployment system".to_owned()),
        (
            proof.root == part && fact("noted-part") == part,
            format!("/ is `{}`, not {part}", proof.root),
        ),
        (
            !device.0.is_empty() && device.0 == device.1,
            format!("/ is device {}, {part} is device {}", device.0, device.1),
        ),
        (
            !proof.filesystem_uuid.is_empty() && proof.filesystem_uuid == proof.deployed_uuid,
            format!(
                "the file system of / is `{}`, the deployment made `{}`",
                proof.filesystem_uuid, proof.deployed_uuid
            ),
        ),
        (
            matches!(boots, [Some(now), Some(before)] if now != before),
            format!(
                "the boot `{}` is not another than the deployment system's `{}`",
                proof.boot_id, proof.deployment_boot_id
            ),
        ),
        (proof.token, "the token of this run is not there".to_owned()),
        (
            proof.files > 0 && proof.files_equal == proof.files,
            format!("{} of {} sampled files are the image's", proof.files_equal, proof.files),
        ),
    ];
    checks.into_iter().filter(|(holds, _)| !holds).map(|(_, reason)| reason).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "f47b4c00d87f4b5378487972ded9d447074d4771bea98af3f852220ee34392e5";
    const GOOD: &str = "\
boot 11111111-62a3-4b43-9d14-8a6a1b2c3d4e
kernel 6.1.0
root /dev/vda3
number 254:3
disk-number 254:3
uuid aaaa
noted-token secret
noted-part /dev/vda3
noted-uuid aaaa
noted-boot 22222222-62a3-4b43-9d14-8a6a1b2c3d4e
f47b4c00d87f4b5378487972ded9d447074d4771bea98af3f852220ee34392e5  ./boot/x
";

    fn judged(said: &str) -> Vec<String> {
        let sample = BTreeMap::from([("./boot/x".to_owned(), DIGEST.to_owned())]);
        judge(said, "/dev/vda3", &Expected { token: "secret", sample: &sample }).missing
    }

    #[test]
    fn the_installed_system_is_proved() {
        assert_eq!(judged(GOOD), Vec::<String>::new());
    }

    #[test]
    fn each_fact_counts() {
        for (good, bad, word) in [
            ("root /dev/vda3", "root /dev/vda2", "vda2"),
            ("noted-part /dev/vda3", "noted-part /dev/vda2", "not /dev/vda3"),
            ("\nnumber 254:3", "\nnumber 254:2", "254:2"),
            ("\nuuid aaaa", "\nuuid bbbb", "bbbb"),
            ("noted-uuid aaaa", "noted-uuid bbbb", "bbbb"),
            ("22222222", "11111111", "another"),
            ("noted-boot 2", "noted-boot x2", "another"),
            ("secret", "old", "token"),
            (DIGEST, &DIGEST.replace('f', "0"), "0 of 1"),
            ("./boot/x", "./boot/y", "0 of 1"),
        ] {
            let missing = judged(&GOOD.replace(good, bad));
            assert_eq!(missing.len(), 1, "{bad}: {missing:?}");
            assert!(missing[0].contains(word), "{bad}: {missing:?}");
        }
    }

    #[test]
    fn a_node_in_the_deployment_system_is_not_proved() {
        let said = "boot 22222222-62a3-4b43-9d14-8a6a1b2c3d4e\nkernel 6.1.0\nroot \nnumber \nsystem deployment\n";
        let missing = judged(said);
        assert_eq!(missing[0], "it runs the deployment system");
        assert_eq!(missing.len(), 7);
        assert_eq!(judged("").len(), 6, "who says nothing is not proved");
    }
}

//! One run.

use super::{
    check,
    report::Report,
    scenario::{self, Images, Scenario},
    site::Place,
    stage::{IMAGE, Stage},
};
use crate::{
    environments::{Boot, Environment, Image, ImageKind},
    operations::typical,
    types::DeployRequest,
};
use anyhow::Context;
use config::Cluster;

impl Scenario {
    /// Carries the scenario out, in virtual time, on the calling thread. Not to be called
    /// from a task.
    ///
    /// # Errors
    /// The deployment was refused: the site's configuration does not allow it.
    pub fn run(&self, place: &Place) -> anyhow::Result<Report> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .context("cannot make a runtime")?;
        runtime.block_on(Box::pin(async {
            let facts = Stage::new(self, place).deploy().await?;
            let broken = check::broken(&facts);
            Ok(Report::new(self, &facts, broken))
        }))
    }

    /// What a user would ask for.
    pub(super) fn request(&self) -> DeployRequest {
        DeployRequest {
            ssh_authorized_keys: Some("keys".to_owned()),
            disable_kexec: self.boot == scenario::Boot::Firmware,
            ..DeployRequest::default()
        }
    }

    /// What is installed.
    pub(super) fn environment(&self, cluster: &Cluster) -> Environment {
        let typical = typical(cluster);
        let kind = match self.images {
            Images::Tar => ImageKind::Tar,
            Images::Partition => ImageKind::Dd,
        };
        let boot = Boot { kernel: "/vmlinuz".into(), initrd: "/initrd.img".into(), ..typical.boot };
        let image = Image { file: format!("server://{IMAGE}"), kind, ..typical.image };
        Environment { name: "simulated".into(), image, boot, ..typical }
    }
}

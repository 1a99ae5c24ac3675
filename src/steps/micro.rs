//! Every micro-step by name.

use super::{
    Run, again, disk, image, install, kexec, network, nodes, power, profile, profile::Boots, wait,
};
use crate::platform::Level;
use automata::{Context, NodeSet, Outcome, Recovery, Task};
use std::{sync::Arc, time::Duration};

/// What `power` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerStep {
    /// Switch on, from this level of force.
    On(Level),
    /// Switch off, from this level of force.
    Off(Level),
    /// Ask.
    Status,
}

/// A treatment of a node set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the micro-step of that name; `Micro::name`")]
pub enum Micro {
    Dummy,
    /// What is booted next.
    SwitchPxe(Boots),
    /// To the network where deployments take place if `home`, else to the user's own.
    SetVlan {
        home: bool,
    },
    CheckNodes(Check),
    ProduceBadNodes,
    LoadDrivers,
    SendDeploymentKernel,
    Reboot(Level),
    RebootFromDeployEnv,
    Power(PowerStep),
    /// `deploy`: the deployment system is expected, not the installed one. `press`: a node that
    /// does not leave is ordered to reboot with more force. `moved`: it comes back in the user's
    /// network.
    WaitReboot {
        deploy: bool,
        press: bool,
        moved: bool,
        timeout: Duration,
    },
    SendKeyInDeployEnv,
    CreatePartitionTable,
    FormatDeployPart,
    MountDeployPart,
    MountTmpPart,
    UmountDeployPart,
    FormatTmpPart,
    FormatSwapPart,
    /// By what.
    SendEnvironment(By),
    DecompressEnvironment,
    ManageAdminPreInstall,
    ManageAdminPostInstall,
    ManageUserPostInstall,
    CheckKernelFiles,
    SendKey,
    InstallBootloader,
    Sync,
    /// Into the deployment system if `deploy`, else into what was installed.
    Kexec {
        deploy: bool,
    },
}

/// What carries the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The relay.
    Relay,
    /// The site's own command.
    Site,
    /// Torrents.
    Torrent,
}

/// What `check_nodes` asks of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// They run the production system.
    Production,
    /// They run what is deployed.
    Deployed,
    /// They need no firmware to be trusted, and answer.
    Trusted,
}

impl Micro {
    /// The name in configuration files, messages and statistics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Dummy => "dummy",
            Self::SwitchPxe(_) => "switch_pxe",
            Self::SetVlan { .. } => "set_vlan",
            Self::CheckNodes(_) => "check_nodes",
            Self::ProduceBadNodes => "produce_bad_nodes",
            Self::LoadDrivers => "load_drivers",
            Self::SendDeploymentKernel => "send_deployment_kernel",
            Self::MountTmpPart => "mount_tmp_part",
            Self::DecompressEnvironment => "decompress_environment",
            Self::ManageAdminPreInstall => "manage_admin_pre_install",
            Self::Reboot(_) => "reboot",
            Self::RebootFromDeployEnv => "reboot_from_deploy_env",
            Self::Power(_) => "power",
            Self::WaitReboot { .. } => "wait_reboot",
            Self::SendKeyInDeployEnv => "send_key_in_deploy_env",
            Self::CreatePartitionTable => "create_partition_table",
            Self::FormatDeployPart => "format_deploy_part",
            Self::MountDeployPart => "mount_deploy_part",
            Self::UmountDeployPart => "umount_deploy_part",
            Self::FormatTmpPart => "format_tmp_part",
            Self::FormatSwapPart => "format_swap_part",
            Self::SendEnvironment(_) => "send_environment",
            Self::ManageAdminPostInstall => "manage_admin_post_install",
            Self::ManageUserPostInstall => "manage_user_post_install",
            Self::CheckKernelFiles => "check_kernel_files",
            Self::SendKey => "send_key",
            Self::InstallBootloader => "install_bootloader",
            Self::Sync => "sync",
            Self::Kexec { .. } => "kexec",
        }
    }

    /// What a restart of the service does to one that was under way.
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Reboot(_)
            | Self::RebootFromDeployEnv
            | Self::Power(_)
            | Self::WaitReboot { .. }
            | Self::Kexec { .. } => Recovery::Observe,
            _ => Recovery::Rerun,
        }
    }
}

/// A micro-step of one workflow: what the automaton runs.
pub struct Step {
    micro: Micro,
    run: Arc<Run>,
}

impl Step {
    /// `micro`, done with what `run` knows.
    pub fn new(micro: Micro, run: Arc<Run>) -> Self {
        Self { micro, run }
    }
}

#[async_trait::async_trait]
impl Task for Step {
    fn recovery(&self) -> Recovery {
        self.micro.recovery()
    }

    async fn run(&self, mut nodes: NodeSet, cx: Context) -> Outcome {
        let lost = self.run.lost_of(&nodes);
        if !lost.is_empty() {
            nodes = nodes.difference(&lost.keys().copied().collect());
            cx.raise_ko(lost);
        }
        let passed = self.run.passes(&nodes, &self.micro, &cx);
        let nodes = nodes.difference(&passed);
        let work = async { tokio::join!(self.treat(nodes, cx.clone()), self.pass(passed, &cx)).0 };
        tokio::select! {
            // In order: a run on simulated machines leaves nothing to chance.
            biased;
            outcome = work => outcome,
            // Nobody wants the outcome any more; what runs ends when it is dropped.
            () = cx.cancelled() => Outcome::default(),
        }
    }
}

impl Step {
    /// Hands over nodes on which the step was done before this operation. Nobody waits for
    /// them, nor they for others.
    async fn pass(&self, nodes: NodeSet, cx: &Context) {
        if nodes.is_empty() {
            return;
        }
        let Outcome { ok, ko } = match self.micro {
            Micro::WaitReboot { .. } => again::instead_of_waiting(&self.run, &nodes, cx).await,
            _ => Outcome::ok(nodes),
        };
        cx.raise_ok(ok);
        cx.raise_ko(ko);
    }

    async fn treat(&self, nodes: NodeSet, cx: Context) -> Outcome {
        if nodes.is_empty() {
            return Outcome::default();
        }
        let run = &*self.run;
        match &self.micro {
            Micro::Dummy => Outcome::ok(nodes),
            Micro::SwitchPxe(boots) => profile::write(run, &nodes, *boots).await,
            Micro::SetVlan { home } => network::set_vlan(run, &nodes, &cx, *home).await,
            Micro::CheckNodes(check) => nodes::check(run, &nodes, &cx, *check).await,
            Micro::ProduceBadNodes => Outcome::ko(&nodes, "this step makes nodes fail"),
            Micro::LoadDrivers => nodes::load_drivers(run, &nodes, &cx).await,
            Micro::SendDeploymentKernel => kexec::send_kernel(run, &nodes, &cx).await,
            Micro::Reboot(level) => power::reboot(run, &nodes, &cx, *level).await,
            Micro::RebootFromDeployEnv => power::reboot_from_deploy_env(run, &nodes, &cx).await,
            Micro::Power(step) => power::power(run, &nodes, &cx, *step).await,
            Micro::WaitReboot { deploy, press, moved, timeout } => {
                let (deploy, press, moved) = (*deploy, *press, *moved);
                let wanted = wait::Wanted { deploy, press, moved, timeout: *timeout };
                wait::wait_reboot(run, &nodes, &cx, wanted).await
            }
            Micro::SendKeyInDeployEnv => install::key_in_deployment_system(run, &nodes, &cx).await,
            Micro::CreatePartitionTable => disk::partition(run, &nodes, &cx).await,
            Micro::FormatDeployPart => disk::format_deploy(run, &nodes, &cx).await,
            Micro::MountDeployPart => disk::mount_deploy(run, &nodes, &cx).await,
            Micro::MountTmpPart => disk::mount_tmp(run, &nodes, &cx).await,
            Micro::UmountDeployPart => disk::umount_deploy(run, &nodes, &cx).await,
            Micro::FormatTmpPart => disk::format_tmp(run, &nodes, &cx).await,
            Micro::FormatSwapPart => disk::format_swap(run, &nodes, &cx).await,
            Micro::SendEnvironment(by) => image::send(run, &nodes, &cx, *by).await,
            Micro::DecompressEnvironment => image::decompress(run, &nodes, &cx).await,
            Micro::ManageAdminPreInstall => install::pre_install(run, &nodes, &cx).await,
            Micro::ManageAdminPostInstall => install::admin_post_install(run, &nodes, &cx).await,
            Micro::ManageUserPostInstall => install::user_post_install(run, &nodes, &cx).await,
            Micro::CheckKernelFiles => image::check_kernel_files(run, &nodes, &cx).await,
            Micro::SendKey => install::key_in_installed_system(run, &nodes, &cx).await,
            Micro::InstallBootloader => install::bootloader(run, &nodes, &cx).await,
            Micro::Sync => disk::sync(run, &nodes, &cx).await,
            Micro::Kexec { deploy: true } => kexec::deployment(run, &nodes, &cx).await,
            Micro::Kexec { deploy: false } => kexec::installed(run, &nodes, &cx).await,
        }
    }
}

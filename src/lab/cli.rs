//! `kadence lab …`: the command line of the lab.

use super::{
    BootDevice, DEFAULT_NAME, Dhcp, Guest, LabError, LabStatus, Loader, Numbers, Place, Plan,
    PowerOp, Subnet, Wishes,
    control::{Answer, Request, ask},
    demo, down,
    error::Context,
    inside, ipmi, keeper, probe_accel,
    process::not_started,
    qemu::NodeFiles,
    terminal, up, write_config,
};
use crate::nodes::Firmware;
use clap::{Args, Subcommand, ValueEnum};
use std::{
    ffi::OsString,
    io::Write,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, ExitCode},
};

/// A lab of virtual machines with BMCs, in a network namespace of its own.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  kadence lab up -n 3\n  kadence lab config --dir lab-config\n  \
                        kadence lab exec kadence serve --config-dir lab-config\n  kadence lab down"
)]
pub struct LabArgs {
    /// Name of the lab and of its network namespace [default: kadence-lab, of the demonstration
    /// kadence-demo]
    #[arg(long, global = true, env = "KADENCE_LAB_NAME")]
    name: Option<String>,
    /// Where it keeps its state [default: ~/.local/state/kadence/lab, for another name
    /// ~/.local/state/kadence/labs/NAME]
    #[arg(long, global = true, env = "KADENCE_LAB_DIR")]
    state_dir: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make the lab: nodes with empty disks, switched off, with BMCs that listen.
    #[command(after_help = "Example:\n  kadence lab up -n 3 --uefi 2 --redfish 2-3")]
    Up(UpArgs),
    /// Install an image on the nodes of a lab, prove it, take everything down.
    #[command(after_help = "Example:\n  kadence lab demo --nodes 1 --json report.json")]
    Demo(demo::DemoArgs),
    /// Take the lab down: processes, namespace, disks.
    #[command(after_help = "Example:\n  kadence lab down")]
    Down,
    /// Show the nodes and what runs beside them.
    #[command(after_help = "Example:\n  kadence lab status --json")]
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Attach to the serial port of a node; Ctrl-] leaves.
    #[command(after_help = "Example:\n  kadence lab console node-1")]
    Console {
        /// The node: 1, node-1 or node-1.lab.
        node: String,
    },
    /// Log in to a node as root with the key of the lab's user, or run a command on it.
    #[command(after_help = "Example:\n  kadence lab ssh node-1 cat /etc/os-release")]
    Ssh {
        /// The node.
        node: String,
        /// The command.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Write the configuration with which `kadence serve` runs in the lab.
    #[command(after_help = "Example:\n  kadence lab config --dir lab-config")]
    Config {
        /// Where to [default: config in the lab's state directory]
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Run a command in the lab's namespace; `kadence` is this program.
    #[command(after_help = "Example:\n  kadence lab exec kadence deploy -e debian -m node-1 -k")]
    Exec {
        /// The command.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<OsString>,
    },
    /// Press a node's power button, past its BMC.
    #[command(hide = true)]
    Power {
        /// The node.
        node: String,
        /// What to do; without it, tells `on` or `off`.
        op: Option<PowerOp>,
    },
    /// Override what a node boots from at its next power action.
    #[command(hide = true)]
    Boot {
        /// The node.
        node: String,
        /// The device.
        device: BootChoice,
    },
    /// The lab's own process, inside the namespace.
    #[command(hide = true)]
    Keep,
    /// What the IPMI emulator calls for its machine.
    #[command(hide = true)]
    BmcChassis {
        /// Number of the node.
        node: u8,
        /// What it wants.
        #[arg(trailing_var_arg = true)]
        words: Vec<String>,
    },
}

#[derive(Debug, Args)]
struct UpArgs {
    /// How many nodes.
    #[arg(short = 'n', long, default_value_t = 2)]
    nodes: u8,
    #[command(flatten)]
    shape: Shape,
}

/// What the nodes are like.
#[derive(Clone, Debug, Args)]
pub struct Shape {
    /// Nodes with UEFI instead of a BIOS: 1,3-4 or all.
    #[arg(long, value_name = "LIST", default_value = "")]
    uefi: Numbers,
    /// Nodes whose BMC speaks Redfish instead of IPMI.
    #[arg(long, value_name = "LIST", default_value = "")]
    redfish: Numbers,
    /// Nodes whose BMC does not answer.
    #[arg(long, value_name = "LIST", default_value = "")]
    dead_bmc: Numbers,
    /// Nodes with an AHCI disk and an e1000e card instead of virtio.
    #[arg(long, value_name = "LIST", default_value = "")]
    ahci: Numbers,
    /// Nodes whose installed system is booted from kernel to kernel, not through the firmware.
    #[arg(long, value_name = "LIST", default_value = "")]
    kexec: Numbers,
    /// BIOS nodes whose disk gets a partition table of DOS instead of GPT.
    #[arg(long, value_name = "LIST", default_value = "")]
    msdos: Numbers,
    /// What nodes load first from the network.
    #[arg(long, value_enum, default_value_t)]
    loader: Loader,
    /// Who tells nodes their addresses: the service, or a server beside it.
    #[arg(long, value_enum, default_value_t)]
    dhcp: Dhcp,
    /// Memory of each node, MiB.
    #[arg(long, value_name = "MB", default_value_t = 768, value_parser = clap::value_parser!(u32).range(128..=1_048_576))]
    memory: u32,
    /// Size of each disk.
    #[arg(long, value_name = "SIZE", default_value = "4G")]
    disk: String,
    /// The first two bytes of all addresses.
    #[arg(long, value_name = "A.B", default_value = "10.77")]
    subnet: Subnet,
    /// Folder of the deployment system, vmlinuz and initrd.img [default: what ramdisk/build made]
    #[arg(long, value_name = "DIR", value_parser = absolute)]
    deployment_system: Option<PathBuf>,
}

/// The lab's own process has another working directory.
fn absolute(path: &str) -> std::io::Result<PathBuf> {
    std::path::absolute(path)
}

impl Shape {
    /// A lab of `nodes` such nodes.
    pub(super) fn wishes(&self, nodes: u8) -> Wishes {
        let one = self.clone();
        Wishes {
            nodes,
            uefi: one.uefi,
            redfish: one.redfish,
            dead_bmc: one.dead_bmc,
            ahci: one.ahci,
            kexec: one.kexec,
            msdos: one.msdos,
            loader: one.loader,
            dhcp: one.dhcp,
            memory: one.memory,
            disk: one.disk,
            subnet: one.subnet,
            deployment_system: one.deployment_system,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum BootChoice {
    Pxe,
    Disk,
    None,
}

/// Does what the command line says. The code is that of the command that was run, else 0.
pub async fn run(args: LabArgs) -> Result<ExitCode, LabError> {
    let program = std::env::current_exe().context(|| "finding this program".into())?;
    let default = if let Verb::Demo(_) = args.verb { demo::DEFAULT_NAME } else { DEFAULT_NAME };
    let place = Place::new(args.name.as_deref().unwrap_or(default), args.state_dir, program)?;
    let guest = |name: &str| place.plan().and_then(|plan| plan.guest(name).cloned());
    match args.verb {
        Verb::Up(wishes) => bring_up(&place, wishes).await?,
        Verb::Demo(wishes) => {
            let say = |text: &str| tell_as("demo", text);
            return Box::pin(demo::run(&place, wishes, &say)).await;
        }
        Verb::Down => down(&place, &tell).await?,
        Verb::Status { json } => show_status(&place, json).await?,
        Verb::Console { node } => {
            let guest = guest(&node)?;
            tell(&format!("the console of {}; Ctrl-] leaves", guest.name()));
            terminal::attach(&NodeFiles(place.node(&guest.name()))).await?;
        }
        Verb::Ssh { node, command } => become_it(inside::ssh(&place, &guest(&node)?, &command))?,
        Verb::Config { dir } => {
            let dir = dir.unwrap_or_else(|| place.dir().join("config"));
            write_config(&place, &place.plan()?, &dir).await?;
            print(&format!("{}\n", dir.display()))?;
        }
        Verb::Exec { command } => {
            place.plan()?;
            become_it(inside::command(&place, &command))?;
        }
        Verb::Power { node, op } => power(&place, &guest(&node)?, op).await?,
        Verb::Boot { node, device } => {
            let device = match device {
                BootChoice::Pxe => Some(BootDevice::Pxe),
                BootChoice::Disk => Some(BootDevice::Disk),
                BootChoice::None => None,
            };
            ask(&place, &Request::SetBoot { node: guest(&node)?.number, device }).await?;
        }
        Verb::Keep => keeper::keep(&place).await?,
        Verb::BmcChassis { node, words } => print(&ipmi::chassis(&place, node, &words).await?)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn bring_up(place: &Place, args: UpArgs) -> Result<(), LabError> {
    let wishes = args.shape.wishes(args.nodes);
    let plan = Plan::new(place.name(), &wishes, probe_accel(&tell).await?)?;
    up(place, &plan, &tell).await?;
    show_status(place, false).await
}

async fn power(place: &Place, guest: &Guest, op: Option<PowerOp>) -> Result<(), LabError> {
    let node = guest.number;
    if let Some(op) = op {
        ask(place, &Request::SetPower { node, op, wait: true }).await?;
    }
    match ask(place, &Request::Power { node }).await? {
        Answer::Power { on: true } => print("on\n"),
        _ => print("off\n"),
    }
}

async fn show_status(place: &Place, json: bool) -> Result<(), LabError> {
    place.plan()?;
    let Answer::Status { status } = ask(place, &Request::Status).await? else { return Ok(()) };
    let text = if json {
        serde_json::to_string_pretty(&status).unwrap_or_default()
    } else {
        table(&status)
    };
    print(&format!("{}\n", text.trim_end()))
}

/// The status as a table for people.
fn table(status: &LabStatus) -> String {
    use std::fmt::Write;
    let accel =
        if status.accel == super::Accel::Kvm { "hardware virtualisation" } else { "emulation" };
    let mut text = format!("lab {}: server {}, {accel}\n", status.name, status.server);
    text +=
        "NODE          ADDRESS        MAC                FIRMWARE  BMC                  POWER\n";
    for node in &status.nodes {
        let dead = if node.dead_bmc { " dead" } else { "" };
        let bmc = format!("{} {}{dead}", node.bmc, node.bmc_address);
        let power = match (&node.error, node.on) {
            (Some(error), _) => format!("off ({error})"),
            (None, true) => "on".into(),
            (None, false) => "off".into(),
        };
        let (name, address, mac) = (&node.name, node.address.to_string(), &node.mac);
        let _ = writeln!(
            text,
            "{name:<13} {address:<14} {mac:<18} {:<9} {bmc:<20} {power}",
            firmware(node.firmware)
        );
    }
    for service in status.services.iter().filter(|service| service.pid.is_none()) {
        let _ = writeln!(text, "{} does not run", service.name);
    }
    text
}

fn firmware(firmware: Firmware) -> &'static str {
    match firmware {
        Firmware::Bios => "bios",
        Firmware::Uefi => "uefi",
    }
}

/// Becomes `command`; returns only if that fails.
fn become_it(mut command: Command) -> Result<(), LabError> {
    let program = command.get_program().to_string_lossy().into_owned();
    Err(not_started(&program, command.exec()))
}

/// Data goes to standard output …
fn print(text: &str) -> Result<(), LabError> {
    std::io::stdout().write_all(text.as_bytes()).context(|| "writing to standard output".into())
}

/// … progress to standard error, where nobody may be reading.
fn tell(text: &str) {
    tell_as("lab", text);
}

fn tell_as(who: &str, text: &str) {
    let _ = writeln!(std::io::stderr(), "{who}: {text}");
}

//! From power to a running system.

use super::{Around, FaultKind, Firmware, Machine, Memory, Moment, Span, State, System, Witness};
use crate::platform::{
    rendered::Start,
    sim::{
        disk::Grub,
        loader::{self, Decision},
        net::{BootFile, below},
    },
};
use std::time::Duration;

/// How much longer a slow firmware takes.
const SLOWNESS: u32 = 5;
/// Requests that a firmware or loader sends before it gives up (PXE 2.1, section 2.2.7: four
/// DHCP requests).
const REQUESTS: u32 = 4;
/// Pause after the first lost request; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(4);

impl Machine {
    /// The machine gets power.
    pub(super) fn start(&mut self, at: Moment, around: &mut Around<'_>) {
        self.boots += 1;
        self.say(at, "power on");
        let firmware = around.hardware.firmware.draw(&mut self.dice);
        let slow = around.faults.strikes(FaultKind::BootSlow, &mut self.dice);
        let lost = around.faults.strikes(FaultKind::BootLost, &mut self.dice);
        let stuck = around.faults.strikes(FaultKind::BootStuck, &mut self.dice);
        if lost {
            return self.halt(at, "no post");
        }
        if stuck {
            return self.halt(at, "Press F1 to continue, F2 to enter setup");
        }
        self.state = State::Firmware;
        self.next = Some(at + if slow { firmware * SLOWNESS } else { firmware });
    }

    /// The state changes by itself.
    pub(super) fn change(&mut self, at: Moment, around: &mut Around<'_>) {
        match self.state.clone() {
            State::Firmware => {
                self.state = State::Dhcp(0);
                self.after(at, around.hardware.dhcp);
            }
            State::Dhcp(lost) => self.dhcp(at, lost, around),
            State::Loader(loader, lost) => self.load(at, &loader, lost, around),
            State::Kernel(system) => {
                if around.faults.strikes(FaultKind::BootPanic, &mut self.dice) {
                    return self.panic(at, "Fatal exception in interrupt");
                }
                self.say(at, "sshd is up");
                self.state = State::Running(system);
            }
            State::Off | State::Running(_) | State::Panic(_) | State::Stuck(_) => {}
        }
    }

    fn dhcp(&mut self, at: Moment, lost: u32, around: &mut Around<'_>) {
        let offered = around.net.dhcp(&self.node);
        if around.faults.strikes(FaultKind::DhcpLost, &mut self.dice) || offered.is_none() {
            let text = "PXE-E51: no DHCP or proxyDHCP offers";
            return self.lose(at, (lost, text), State::Dhcp, around);
        }
        around.saw(at, Witness::Dhcp, "discover");
        match offered {
            Some(Ok(loader)) => {
                self.state = State::Loader(loader, 0);
                self.after(at, around.hardware.loader);
            }
            Some(Err(why)) => self.next_device(at, &why.to_string(), around),
            None => {}
        }
    }

    /// A request is lost: it is sent again, or the firmware goes on to the disk.
    fn lose(
        &mut self,
        at: Moment,
        (lost, text): (u32, &str),
        again: impl Fn(u32) -> State,
        around: &Around<'_>,
    ) {
        if lost + 1 < REQUESTS {
            self.say(at, text);
            self.state = again(lost + 1);
            self.next = Some(at + FIRST_PAUSE * 2_u32.pow(lost));
        } else {
            self.next_device(at, text, around);
        }
    }

    fn load(&mut self, at: Moment, loader: &Start, lost: u32, around: &mut Around<'_>) {
        if around.faults.strikes(FaultKind::TftpLost, &mut self.dice) {
            let again = |lost| State::Loader(loader.clone(), lost);
            return self.lose(at, (lost, "PXE-E32: TFTP open timeout"), again, around);
        }
        around.saw(at, Witness::Tftp, &loader.profile);
        let Some(profile) = around.net.profile(&self.node, &loader.profile) else {
            return self.next_device(at, &format!("{}: not found", loader.profile), around);
        };
        let verdict = loader::read(loader.method, &profile, self.node.firmware);
        match verdict.and_then(|decision| self.decide(at, decision, around)) {
            Ok(()) => {}
            // iPXE hands back to the firmware; the others wait at their prompt.
            Err(why) if loader.method == netboot::profile::Method::Ipxe => {
                self.next_device(at, &why, around);
            }
            Err(why) => self.halt(at, &why),
        }
    }

    fn decide(
        &mut self,
        at: Moment,
        decision: Decision,
        around: &mut Around<'_>,
    ) -> Result<(), String> {
        match decision {
            Decision::Start { program, ramdisk, arguments } => {
                return self.program(at, &program, ramdisk.as_deref(), &arguments, around);
            }
            Decision::Kernel { partition, files, params } => {
                self.grub(at, partition, &files, &params, around.hardware.kernel)?;
            }
            Decision::BootSector(number) => {
                let grub = match number {
                    0 => self.disk.sector.clone(),
                    number => self
                        .disk
                        .partitions
                        .get(&number)
                        .and_then(|one| one.loader.as_deref().cloned()),
                };
                let grub = grub.ok_or("Boot sector signature not found")?;
                self.menu(at, &grub, around.hardware.kernel)?;
            }
            Decision::EfiLoader => {
                let grub = self.disk.efi_loader().cloned().ok_or("error: no such device")?;
                self.menu(at, &grub, around.hardware.kernel)?;
            }
            Decision::NextDevice => self.next_device(at, "next boot device", around),
        }
        Ok(())
    }

    /// A loader starts a file of the repository.
    fn program(
        &mut self,
        at: Moment,
        program: &str,
        ramdisk: Option<&str>,
        arguments: &str,
        around: &mut Around<'_>,
    ) -> Result<(), String> {
        around.saw(at, Witness::Http, program);
        if let Some(loader) = around.net.loader(&self.node, below(program).trim_start_matches('/'))
        {
            self.state = State::Loader(loader, 0);
            self.after(at, around.hardware.loader);
            return Ok(());
        }
        match around.net.file(program) {
            Some(BootFile::Chain) => {
                let decision = loader::chain(arguments)?;
                self.decide(at, decision, around)
            }
            Some(BootFile::Kernel) => {
                self.deployment(at, ramdisk, arguments, around);
                Ok(())
            }
            Some(BootFile::Nfsroot) => {
                self.say(at, &format!("Linux with its root on a file server: {arguments}"));
                let memory = Memory { admits_us: true, ..Memory::default() };
                self.state = State::Kernel(System::Deployment(memory));
                self.after(at, around.hardware.kernel);
                Ok(())
            }
            Some(BootFile::Ramdisk) => Err(format!("{program}: Exec format error")),
            None => Err(format!("{program}: No such file or directory")),
        }
    }

    fn deployment(
        &mut self,
        at: Moment,
        ramdisk: Option<&str>,
        params: &str,
        around: &mut Around<'_>,
    ) {
        let ramdisk = ramdisk.and_then(|file| around.net.file(file));
        if ramdisk != Some(BootFile::Ramdisk) {
            self.say(at, &format!("Linux of the deployment system: {params}"));
            return self.panic(at, "VFS: Unable to mount root fs on unknown-block(0,0)");
        }
        self.start_deployment(at, params, around);
    }

    /// Kernel and ramdisk of the deployment system are in memory.
    pub(super) fn start_deployment(&mut self, at: Moment, params: &str, around: &mut Around<'_>) {
        self.say(at, &format!("Linux of the deployment system: {params}"));
        let key = &around.net.key;
        let admits_us = key.is_empty() || params.contains(key.as_str());
        self.state = State::Kernel(System::Deployment(Memory { admits_us, ..Memory::default() }));
        self.after(at, around.hardware.kernel);
    }

    /// GRUB of an installed system shows its menu of one entry.
    fn menu(&mut self, at: Moment, grub: &Grub, kernel: Span) -> Result<(), String> {
        let root = self.disk.by_id(grub.filesystem);
        let root = root.ok_or("error: no such device (the filesystem is gone)")?;
        let mut files = vec![grub.kernel.clone()];
        files.extend((!grub.initrd.is_empty()).then(|| grub.initrd.clone()));
        self.grub(at, root, &files, &format!("root=UUID={}", grub.filesystem), kernel)
    }

    /// A loader starts a kernel of a partition: the files must be there.
    fn grub(
        &mut self,
        at: Moment,
        partition: u32,
        files: &[String],
        params: &str,
        kernel: Span,
    ) -> Result<(), String> {
        let tree = self.disk.tree(partition).ok_or("error: unknown filesystem")?;
        if let Some(missing) = files.iter().find(|file| !tree.has(file)) {
            return Err(format!("error: file `{missing}' not found"));
        }
        self.root(at, params, kernel);
        Ok(())
    }

    /// A kernel of a partition starts without a loader.
    pub(super) fn kernel_of(
        &mut self,
        at: Moment,
        partition: u32,
        files: &[String],
        params: &str,
        around: &mut Around<'_>,
    ) {
        self.boots += 1;
        if let Err(why) = self.grub(at, partition, files, params, around.hardware.kernel) {
            self.panic(at, &why);
        }
    }

    /// A kernel mounts its root.
    fn root(&mut self, at: Moment, params: &str, kernel: Span) {
        self.say(at, &format!("Linux: {params}"));
        let root = self.disk.root(params);
        let tree = root.and_then(|number| Some((number, self.disk.tree(number)?.clone())));
        match tree {
            Some((partition, tree)) => {
                let digest = tree.image.digest.clone();
                let memory =
                    Memory { admits_us: self.open, root: Some(partition), ..Memory::default() };
                self.state = State::Kernel(System::Installed { partition, digest, memory });
                self.after(at, kernel);
            }
            None => self.panic(at, "VFS: Unable to mount root fs"),
        }
    }

    /// The firmware goes on to its next device, the disk.
    fn next_device(&mut self, at: Moment, why: &str, around: &Around<'_>) {
        self.say(at, why);
        let grub = match self.node.firmware {
            Firmware::Bios => self.disk.sector.clone(),
            Firmware::Uefi => self.disk.efi_loader().cloned(),
        };
        let started = match grub {
            Some(grub) => self.menu(at, &grub, around.hardware.kernel),
            None => Err("No bootable device".to_owned()),
        };
        if let Err(why) = started {
            self.halt(at, &why);
        }
    }

    fn after(&mut self, at: Moment, span: Span) {
        let time = span.draw(&mut self.dice);
        self.next = Some(at + time);
    }

    /// It waits for somebody.
    fn halt(&mut self, at: Moment, why: &str) {
        self.say(at, why);
        self.state = State::Stuck(why.to_owned());
        self.next = None;
    }

    fn panic(&mut self, at: Moment, why: &str) {
        self.say(at, &format!("Kernel panic - not syncing: {why}"));
        self.state = State::Panic(why.to_owned());
        self.next = None;
    }
}

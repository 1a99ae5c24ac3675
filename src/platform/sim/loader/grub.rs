//! GRUB.

use super::{Decision, Verdict, split};

/// What the lines of an entry have set up so far.
#[derive(Default)]
struct Entry {
    root: Option<u32>,
    hypervisor: Option<String>,
    kernel: Option<(String, String)>,
    ramdisk: Option<String>,
    sector: bool,
    program: Option<String>,
    efi: bool,
}

pub(super) fn read(profile: &str) -> Verdict {
    let mut lines = profile.lines().map(str::trim);
    if !lines.any(|line| line.starts_with("menuentry ") && line.ends_with('{')) {
        return Err("grub: no menu entry".to_owned());
    }
    let mut entry = Entry::default();
    for line in lines.take_while(|line| *line != "}").filter(|line| !line.is_empty()) {
        entry.read(line)?;
    }
    entry.decision()
}

impl Entry {
    fn read(&mut self, line: &str) -> Result<(), String> {
        let (command, rest) = split(line);
        let pair = || {
            let (path, words) = split(rest);
            Some((path.to_owned(), words.to_owned()))
        };
        match command {
            "set" => self.root = Some(partition(rest)?),
            "linux" => self.kernel = pair(),
            "multiboot" => self.hypervisor = pair().map(|(path, _)| path),
            // The first module is the kernel of the first domain, the next its ramdisk.
            "module" if self.kernel.is_none() => self.kernel = pair(),
            "module" | "initrd" => self.ramdisk = Some(rest.to_owned()),
            "chainloader" if rest == "+1" => self.sector = true,
            "chainloader" => self.efi = true,
            "pxechainloader" => self.program = Some(rest.to_owned()),
            // The search of every disk for an EFI loader, and the start of what was loaded.
            "if" | "elif" | "else" | "fi" | "exit" | "boot" => {}
            _ => return Err(format!("grub: can't find command `{command}'")),
        }
        Ok(())
    }

    fn decision(self) -> Verdict {
        if self.efi {
            return Ok(Decision::EfiLoader);
        }
        if let Some(program) = self.program {
            return Ok(Decision::Start { program, ramdisk: None, arguments: String::new() });
        }
        match (self.root, self.kernel, self.sector) {
            (Some(partition), Some((kernel, params)), _) => {
                let files = self.hypervisor.into_iter().chain([kernel]).chain(self.ramdisk);
                Ok(Decision::Kernel { partition, files: files.collect(), params })
            }
            (None, Some((program, arguments)), _) => {
                Ok(Decision::Start { program, ramdisk: self.ramdisk, arguments })
            }
            (root, None, true) => Ok(Decision::BootSector(root.unwrap_or(0))),
            (_, None, false) => Err("grub: you need to load the kernel first".to_owned()),
        }
    }
}

/// The partition of `root=(hd0,3)`; 0 for the whole disk `(hd0)`.
fn partition(setting: &str) -> Result<u32, String> {
    let place = setting.strip_prefix("root=(").and_then(|rest| rest.strip_suffix(')'));
    let place = place.ok_or_else(|| format!("grub: what is '{setting}'?"))?;
    let (disk, partition) = place.split_once(',').unwrap_or((place, ""));
    match (disk, partition.parse()) {
        ("hd0", Ok(0)) => Err("grub: no such partition".to_owned()),
        ("hd0", Ok(number)) => Ok(number),
        ("hd0", Err(_)) if partition.is_empty() => Ok(0),
        _ => Err(format!("grub: disk `{disk}' not found")),
    }
}

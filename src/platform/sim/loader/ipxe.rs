//! iPXE.

use super::{Decision, Verdict, split};
use crate::nodes::Firmware;

/// Commands of headers that do not change what is booted.
const HARMLESS: [&str; 5] = ["echo", "sleep", "set", "console", "dhcp"];

pub(super) fn read(profile: &str, firmware: Firmware) -> Verdict {
    let mut lines = profile.lines();
    if lines.next() != Some("#!ipxe") {
        return Err("iPXE: Exec format error: not a script".to_owned());
    }
    let mut ramdisk = None;
    for line in lines.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (command, rest) = split(line);
        match command {
            "initrd" => ramdisk = Some(rest.to_owned()),
            "chain" | "kernel" => return start(rest, ramdisk, firmware),
            "exit" => return Ok(Decision::NextDevice),
            known if HARMLESS.contains(&known) => {}
            _ => return Err(format!("iPXE: {command}: command not found")),
        }
    }
    // A script that ends without a boot hands back to the firmware.
    Ok(Decision::NextDevice)
}

fn start(rest: &str, ramdisk: Option<String>, firmware: Firmware) -> Verdict {
    let (program, arguments) = split(rest);
    if program.is_empty() {
        return Err("iPXE: chain: no image".to_owned());
    }
    // A kernel started by UEFI is given its ramdisk only if it asks for it by name.
    let named = |file: &str| {
        let name = file.rsplit('/').next().unwrap_or(file);
        arguments.split_whitespace().any(|word| word.strip_prefix("initrd=") == Some(name))
    };
    let ramdisk = ramdisk.filter(|file| firmware == Firmware::Bios || named(file));
    let (program, arguments) = (program.to_owned(), arguments.to_owned());
    Ok(Decision::Start { program, ramdisk, arguments })
}

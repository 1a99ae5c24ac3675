//! PXELINUX and gPXELINUX.

use super::{Decision, Verdict, split};

/// One entry of the menu.
#[derive(Default)]
struct Entry {
    program: String,
    append: String,
}

pub(super) fn read(profile: &str) -> Verdict {
    let (mut wanted, mut label) = (None, None);
    let mut entry = Entry::default();
    for line in profile.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (word, rest) = split(line);
        let mine = label.is_some() && label == wanted;
        match word.to_ascii_uppercase().as_str() {
            "DEFAULT" => wanted = Some(rest),
            "LABEL" => label = Some(rest),
            "KERNEL" | "LINUX" | "COM32" if mine => rest.clone_into(&mut entry.program),
            "APPEND" if mine => rest.clone_into(&mut entry.append),
            // Other entries, and what concerns the screen and the console.
            _ => {}
        }
    }
    let wanted = wanted.ok_or("PXELINUX: no DEFAULT or UI configuration directive found!")?;
    if entry.program.is_empty() {
        return Err(format!("Could not find kernel image: {wanted}"));
    }
    let is_initrd = |word: &&str| word.starts_with("initrd=");
    let ramdisk = entry.append.split_whitespace().find(is_initrd);
    let ramdisk = ramdisk.and_then(|word| word.strip_prefix("initrd=")).map(str::to_owned);
    Ok(Decision::Start { program: entry.program, ramdisk, arguments: entry.append })
}

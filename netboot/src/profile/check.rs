//! What may be put into a profile.
//!
//! A value must stay on its line: every loader ends one at a newline. What boots from the
//! network is the site's own, whose administrator may use what the loader can do; what GRUB
//! loads from a disk may be a user's, and must not be read as a command.

use super::{Boot, Local, Method, OsKind, ProfileError};

/// What GRUB's shell would take for something else than text.
const GRUB_SPECIAL: &[char] = &[';', '&', '|', '<', '>', '{', '}', '$', '\\', '`', '#'];

type Checked = Result<(), ProfileError>;

pub(super) fn boot(method: Method, boot: &Boot) -> Checked {
    match boot {
        Boot::Network { kernel, initrd, params } => {
            path(method, "kernel", kernel)?;
            initrd.iter().try_for_each(|initrd| path(method, "initrd", initrd))?;
            one_line(method, "kernel parameters", params)
        }
        Boot::Local(local) => self::local(method, local),
        Boot::Chain(binary) => path(method, "boot loader", binary),
        Boot::Custom(_) => Ok(()),
    }
}

fn local(method: Method, local: &Local) -> Checked {
    if method != Method::GrubPxe {
        return path(method, "chain.c32", &local.chain);
    }
    match &local.os {
        OsKind::Linux { kernel, initrd, params } => {
            word("device", &local.root)?;
            system(kernel, initrd.as_ref(), params)
        }
        OsKind::Xen { hypervisor, hypervisor_params, kernel, initrd, params } => {
            word("device", &local.root)?;
            word("hypervisor", hypervisor)?;
            plain("hypervisor parameters", hypervisor_params)?;
            system(kernel, initrd.as_ref(), params)
        }
        OsKind::Other => Ok(()),
    }
}

fn system(kernel: &str, initrd: Option<&String>, params: &str) -> Checked {
    word("kernel", kernel)?;
    initrd.iter().try_for_each(|initrd| word("initrd", initrd))?;
    plain("kernel parameters", params)
}

/// A header is the site's own text, of several lines.
pub(super) fn header(method: Method, text: &str) -> Checked {
    let binary = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    refuse_if(text.contains(binary), method, "header", text, "it holds a control character")
}

pub(super) fn server(method: Method, name: &str) -> Checked {
    let allowed =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '[' | ']');
    let bad = !name.chars().all(allowed);
    refuse_if(bad, method, "server", name, "it is neither a host name nor an address")
}

/// A path is one word, and not empty.
fn path(method: Method, what: &'static str, value: &str) -> Checked {
    refuse_if(value.is_empty(), method, what, value, "it is empty")?;
    let blank = value.contains(char::is_whitespace);
    refuse_if(blank, method, what, value, "a path with a blank would be read as two words")?;
    let quote = value.contains(['"', '\'']);
    refuse_if(quote, method, what, value, "it holds a quotation mark")?;
    one_line(method, what, value)
}

/// A path of a disk, for GRUB.
fn word(what: &'static str, value: &str) -> Checked {
    path(Method::GrubPxe, what, value)?;
    plain(what, value)
}

fn one_line(method: Method, what: &'static str, value: &str) -> Checked {
    // U+2028 and U+2029 are no control characters, and end a line for some readers.
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let reason = "it holds a line break or a control character";
    refuse_if(value.contains(breaks), method, what, value, reason)
}

/// What GRUB's shell reads as nothing but text.
fn plain(what: &'static str, value: &str) -> Checked {
    let method = Method::GrubPxe;
    one_line(method, what, value)?;
    let special = value.contains(GRUB_SPECIAL);
    refuse_if(special, method, what, value, "GRUB's shell would read a command in it")?;
    let odd = |mark| value.matches(mark).count() % 2 == 1;
    let open = odd('"') || odd('\'');
    refuse_if(open, method, what, value, "a quotation mark is not closed")
}

fn refuse_if(
    bad: bool,
    method: Method,
    what: &'static str,
    value: &str,
    reason: &'static str,
) -> Checked {
    let value = || value.to_owned();
    if bad { Err(ProfileError::Value { what, value: value(), method, reason }) } else { Ok(()) }
}

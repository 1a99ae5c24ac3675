//! The names of a node, put into a command for the shell.

use std::fmt;

/// Longest name (RFC 1035 section 2.3.4: 255 octets on the wire).
const LONGEST: usize = 253;

/// A text that is no host name, and so is not put into a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAName(pub String);

impl fmt::Display for NotAName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no host name: letters, digits, `-` and `.` are allowed", self.0)
    }
}

impl std::error::Error for NotAName {}

/// Puts a node's names where `HOSTNAME_FQDN` and `HOSTNAME_SHORT` stand in a command.
/// The name is checked first, so nothing in it means anything to a shell.
pub fn substitute(command: &str, node: &str) -> Result<String, NotAName> {
    if !is_name(node) {
        return Err(NotAName(node.to_owned()));
    }
    let short = node.split('.').next().unwrap_or(node);
    let mut parts = command.split("HOSTNAME_");
    let mut text = parts.next().unwrap_or_default().to_owned();
    // One pass: what was put in is not looked at again.
    for part in parts {
        if let Some(rest) = part.strip_prefix("FQDN") {
            text.extend([node, rest]);
        } else if let Some(rest) = part.strip_prefix("SHORT") {
            text.extend([short, rest]);
        } else {
            text.extend(["HOSTNAME_", part]);
        }
    }
    Ok(text)
}

/// Whether a text is a host name: labels of letters, digits, `-` and `_`, joined by dots,
/// none empty, none starting with a dash (RFC 1123 section 2.1, and the underscore).
pub(crate) fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let label =
        |label: &str| !label.is_empty() && !label.starts_with('-') && label.chars().all(allowed);
    text.len() <= LONGEST && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::substitute;
    use proptest::prelude::*;

    #[test]
    fn puts_both_names_in() {
        let command = "ssh root@HOSTNAME_FQDN 'echo HOSTNAME_SHORT HOSTNAME_OTHER'";
        assert_eq!(
            substitute(command, "n-1.site.lan").unwrap(),
            "ssh root@n-1.site.lan 'echo n-1 HOSTNAME_OTHER'"
        );
    }

    #[test]
    fn does_not_look_at_what_it_put_in() {
        let node = "HOSTNAME_SHORT.lan";
        assert_eq!(substitute("HOSTNAME_FQDN", node).unwrap(), node);
    }

    #[test]
    fn refuses_what_a_shell_could_read() {
        for node in ["", "a;b", "-oProxy", "a b", "$(x)", "a`b`", "a\nb", "a..b", "../a", "a'"] {
            assert_eq!(substitute("x HOSTNAME_FQDN", node).unwrap_err().0, node);
        }
    }

    proptest! {
        #[test]
        fn adds_nothing_but_name_characters(node in any::<String>()) {
            if let Ok(text) = substitute("HOSTNAME_FQDN", &node) {
                let harmless = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
                prop_assert!(text.chars().all(harmless));
            }
        }
    }
}

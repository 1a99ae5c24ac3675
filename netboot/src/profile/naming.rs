//! Names of per-node profiles.

use super::ProfileError;
use std::{fmt, net::Ipv4Addr, str::FromStr};

/// How the profile of a node is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Naming {
    /// `10.0.0.12`
    Ip,
    /// `0A00000C`, which PXELINUX looks for.
    IpHex,
    /// The full host name.
    Hostname,
    /// The host name up to the first dot.
    HostnameShort,
}

impl Naming {
    /// All namings.
    pub const ALL: [Self; 4] = [Self::Ip, Self::IpHex, Self::Hostname, Self::HostnameShort];

    /// The name of the profile of `hostname`, which boots at `address`.
    ///
    /// # Errors
    /// [`ProfileError::Name`] if `hostname` is needed and is no host name.
    pub fn file_name(self, address: Ipv4Addr, hostname: &str) -> Result<String, ProfileError> {
        let name = match self {
            Self::Ip => return Ok(address.to_string()),
            Self::IpHex => return Ok(format!("{:08X}", address.to_bits())),
            Self::Hostname => hostname,
            Self::HostnameShort => hostname.split('.').next().unwrap_or(hostname),
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(allowed) {
            return Err(ProfileError::Name(hostname.to_owned()));
        }
        Ok(name.to_owned())
    }
}

impl fmt::Display for Naming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ip => "ip",
            Self::IpHex => "ip_hex",
            Self::Hostname => "hostname",
            Self::HostnameShort => "hostname_short",
        })
    }
}

impl FromStr for Naming {
    type Err = ProfileError;

    /// The names used in configuration files.
    fn from_str(name: &str) -> Result<Self, ProfileError> {
        let found = Self::ALL.into_iter().find(|naming| naming.to_string() == name);
        found.ok_or_else(|| ProfileError::Naming(name.to_owned()))
    }
}

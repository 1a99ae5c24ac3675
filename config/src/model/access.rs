//! `server.conf`: who may talk to the service, and how.

use crate::check::Check;
use crate::key::{Shape, default, mandatory, optional};
use crate::macros::{choice, section};
use crate::mistake::Mistake;
use crate::read::{Reader, Value};
use crate::tree::{Data, Located};
use std::path::PathBuf;

section! {
    /// Encryption of the service's own port.
    pub struct Security (check = certificate_needs_key) {
        /// TLS on the service's port.
        secure_server: bool => default("true").fixed(),
        /// Listen on the loopback address only.
        local_only: bool => default("false").fixed(),
        /// The key of the certificate.
        private_key: Option<KeyFile> => optional().fixed(),
        /// Certificate (x509, PEM). None = one is made at start.
        certificate: Option<PathBuf> => default("''").check(Check::File).fixed(),
        /// Refuse files that clients offer over plain HTTP.
        force_secure_client: bool => default("false"),
    }
}

fn certificate_needs_key(security: &Security, at: &Located, cx: &mut Reader<'_>) {
    let key = security.private_key.as_ref().and_then(|key| key.file.as_ref());
    if security.certificate.is_some() && key.is_none() {
        let at = at.get("certificate").unwrap_or(at);
        cx.mistake(
            at,
            "a certificate without its key",
            "`private_key` with `file` and `algorithm`",
        );
    }
}

choice! {
    /// The kind of a key.
    pub enum KeyAlgorithm {
        /// RSA.
        Rsa = "RSA",
        /// DSA.
        Dsa = "DSA",
        /// Elliptic curves.
        Ec = "EC",
    }
}

section! {
    /// A key in a file.
    pub struct KeyFile {
        /// The file (PEM).
        file: Option<PathBuf> => default("''").check(Check::File),
        /// Its kind.
        algorithm: KeyAlgorithm => mandatory(),
    }
}

section! {
    /// How clients say who they are.
    pub struct Authentication (check = some_method) {
        /// Common to all methods.
        global: AuthenticationGlobal => optional(),
        /// Trusted hosts, whose word is taken.
        acl: Option<Acl> => optional(),
        /// TLS client certificates.
        certificate: Option<ClientCertificate> => optional(),
        /// Name and password.
        http_basic: Option<HttpBasic> => optional(),
        /// The ident protocol.
        ident: Option<Ident> => optional(),
    }
}

fn some_method(written: &Authentication, at: &Located, cx: &mut Reader<'_>) {
    let any = written.acl.is_some()
        || written.certificate.is_some()
        || written.http_basic.is_some()
        || written.ident.is_some();
    if !any {
        let expected = "at least one of `acl`, `certificate`, `http_basic`, `ident`";
        let mistake = Mistake::new(at, "no authentication method", expected);
        cx.mistakes.push(mistake.old_text("You must set at least one authentication method"));
    }
}

section! {
    /// Common to all methods.
    pub struct AuthenticationGlobal {
        /// What the names of the headers start with.
        headers_prefix: String => default("X-Kadeploy-"),
    }
}

section! {
    /// Trusted hosts, whose word is taken.
    pub struct Acl (check = somebody) {
        /// The hosts. At least one.
        whitelist: Vec<Host> => mandatory(),
    }
}

/// No other method takes a client's word for who it is: none may mean everybody there.
fn somebody(written: &Acl, at: &Located, cx: &mut Reader<'_>) {
    if written.whitelist.is_empty() {
        cx.wrong(at.get("whitelist").unwrap_or(at), "at least one host");
    }
}

section! {
    /// TLS client certificates.
    pub struct ClientCertificate (check = some_authority) {
        /// The public key of the authority.
        ca_public_key: Option<KeyFile> => optional(),
        /// The certificate of the authority (PEM).
        ca_cert: Option<PathBuf> => default("''").check(Check::File),
        /// Hosts that may use it; none = any.
        whitelist: Vec<Host> => optional(),
    }
}

fn some_authority(written: &ClientCertificate, at: &Located, cx: &mut Reader<'_>) {
    let key = written.ca_public_key.as_ref().and_then(|key| key.file.as_ref());
    if key.is_none() && written.ca_cert.is_none() {
        let mistake =
            Mistake::new(at, "no authority", "at least one of `ca_cert`, `ca_public_key`");
        let old = "At least a certificate or a public key have to be specified";
        cx.mistakes.push(mistake.old_text(old));
    }
}

section! {
    /// Name and password.
    pub struct HttpBasic {
        /// Names and hashed passwords (htpasswd).
        dbfile: PathBuf => mandatory().check(Check::File),
        /// What a browser shows; the service's own address where it is not set.
        realm: Option<String> => optional(),
        /// Hosts that may use it; none = any.
        whitelist: Vec<Host> => optional(),
    }
}

section! {
    /// The ident protocol (RFC 1413).
    pub struct Ident {
        /// Hosts that may use it. Mandatory unless `security/local_only`.
        whitelist: Vec<Host> => optional(),
    }
}

/// Hosts, as a list of those allowed names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An address, or a network in CIDR form.
    Network {
        /// Its first address.
        address: std::net::IpAddr,
        /// The bits that count.
        prefix: u8,
    },
    /// A name.
    Name(String),
    /// A regular expression over the names of clients, without its slashes.
    Pattern(String),
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        if let Some(pattern) = text.strip_prefix('/') {
            let pattern = pattern.strip_suffix('/').filter(|pattern| !pattern.is_empty())?;
            regex::Regex::new(pattern).ok()?;
            return Some(Self::Pattern(pattern.to_owned()));
        }
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        if let Ok(address) = address.parse::<std::net::IpAddr>() {
            let widest = if address.is_ipv4() { 32 } else { 128 };
            let prefix = prefix.map_or(Some(widest), |text| text.parse().ok())?;
            return (prefix <= widest).then_some(Self::Network { address, prefix });
        }
        let name = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        // Digits and dots alone are an address gone wrong.
        let named = text.chars().all(name) && text.chars().any(|c| c.is_ascii_alphabetic());
        named.then(|| Self::Name(text.to_owned()))
    }
}

impl Host {
    /// Whether it means everybody.
    fn is_everybody(&self) -> bool {
        match self {
            Self::Network { prefix, .. } => *prefix == 0,
            Self::Pattern(text) => text.chars().all(|c| ".*+^$?".contains(c)),
            Self::Name(_) => false,
        }
    }
}

impl Value for Host {
    fn shape() -> Shape {
        Shape::leaf("String: address, CIDR network, host name or `/regular expression/`")
    }

    fn read(at: &Located, cx: &mut Reader<'_>) -> Option<Self> {
        let host = match &at.data {
            Data::Text(text) => Self::parse(text),
            _ => None,
        };
        if host.is_none() {
            cx.wrong(at, "an address, a CIDR network, a host name or `/regular expression/`");
        }
        host
    }
}

/// Whether an ident list is missing where one is needed.
pub(crate) fn check_ident(server: &super::server::Server, at: &Located, cx: &mut Reader<'_>) {
    let ident = at.get("authentication").and_then(|section| section.get("ident"));
    let Some(ident) = ident.filter(|_| !server.security.local_only) else { return };
    if ident.get("whitelist").is_none_or(|list| matches!(list.data, Data::Null)) {
        cx.needed(ident, "whitelist", "a `whitelist`, or `security/local_only: true`");
    }
}

/// Says where clients are believed too easily.
pub(crate) fn check_trust(server: &super::server::Server, at: &Located, cx: &mut Reader<'_>) {
    if server.security.local_only {
        return;
    }
    let section = at.get("authentication");
    let (open, methods) = (!server.security.secure_server, &server.authentication);
    let everybody = |acl: &Acl| acl.whitelist.iter().any(Host::is_everybody);
    if methods.acl.as_ref().is_some_and(everybody) {
        let text = "every host of the network may say that it is any user, also an almighty one: name the hosts that are trusted, or use http_basic, certificates or tokens";
        tell(section, "acl", text, cx);
    }
    if open && methods.http_basic.is_some() {
        let text = "passwords travel in the clear: set security/secure_server to true";
        tell(section, "http_basic", text, cx);
    }
}

fn tell(section: Option<&Located>, method: &str, text: &str, cx: &mut Reader<'_>) {
    if let Some(at) = section.and_then(|section| section.get(method)) {
        cx.notice(at.place(), &at.path, text);
    }
}

//! Who asks: what a request says about its user, believed or not.
//!
//! The methods are tried in a fixed order, the first that applies decides: a token of our own;
//! the word of a trusted host; name and password; a certificate; the ident service of the
//! client's machine. Which of them there are is the configuration's word.
//!
//! * `hosts` – lists of hosts
//! * `basic` – names and passwords, from a file of Apache's format
//! * `password` – one password against its hash
//! * `certificate` – x509 certificates in a header, or of the TLS connection
//! * `ident` – RFC 1413
//! * `tokens` – secrets that the service gave out

mod basic;
mod certificate;
mod hosts;
mod ident;
mod password;
pub mod tokens;

use crate::{store::Store, types::Problem};
use anyhow::Context;
use basic::Basic;
use certificate::Authority;
use config::Config;
use hosts::Hosts;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokens::Scope;
use warp::http::{HeaderMap, header};

/// Longest wait for the ident service of a client.
const IDENT_LIMIT: Duration = Duration::from_secs(10);

/// Where a request comes from.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The client's end of the connection.
    pub address: SocketAddr,
    /// Our port.
    pub port: u16,
    /// The certificate (DER) with which the client proved who it is, signed by the authority
    /// of the configuration.
    pub certificate: Option<Arc<[u8]>>,
}

/// Who asks, and for what his word is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name of the user.
    pub user: String,
    /// What may be asked for; none where all that the user may do.
    pub scope: Option<Scope>,
}

/// How clients may say who they are.
pub struct Access {
    prefix: String,
    acl: Option<Hosts>,
    basic: Option<Basic>,
    certificate: Option<(Hosts, Authority)>,
    /// Whose hosts may use it, and the port of the service there.
    ident: Option<(Hosts, u16)>,
    store: Arc<dyn Store>,
}

/// The methods that the configuration has, each as far as it can be used.
struct Methods {
    acl: anyhow::Result<Option<Hosts>>,
    basic: anyhow::Result<Option<Basic>>,
    certificate: anyhow::Result<Option<(Hosts, Authority)>>,
    ident: anyhow::Result<Option<(Hosts, u16)>>,
}

impl Methods {
    /// Names of hosts are resolved now.
    fn of(config: &Config) -> Self {
        let written = &config.server.authentication;
        let local = config.server.security.local_only;
        // On the loopback address there is nobody else to let in.
        let hosts = |list: &[config::model::access::Host], key: &str| {
            let key = format!("authentication/{key}/whitelist");
            if local { Ok(Hosts::local()) } else { Hosts::new(list).context(key) }
        };
        let acl = written
            .acl
            .as_ref()
            .map(|acl| Hosts::new(&acl.whitelist).context("authentication/acl/whitelist"));
        let basic = written.http_basic.as_ref().map(|basic| {
            let realm = basic.realm.clone().unwrap_or_else(|| realm(config));
            let hosts = hosts(&basic.whitelist, "http_basic")?;
            Ok(Basic::new(hosts, realm, basic.dbfile.clone()))
        });
        let certificate = written.certificate.as_ref().map(|one| {
            let authority = Authority::new(one).context("authentication/certificate")?;
            Ok((hosts(&one.whitelist, "certificate")?, authority))
        });
        let ident = written.ident.as_ref().map(|ident| {
            let hosts = hosts(&ident.whitelist, "ident")?;
            Ok((hosts, ident::PORT))
        });
        Self {
            acl: acl.transpose(),
            basic: basic.transpose(),
            certificate: certificate.transpose(),
            ident: ident.transpose(),
        }
    }
}

/// Why methods of the configuration cannot be used, each with the key before it.
pub fn unusable(config: &Config) -> Vec<anyhow::Error> {
    let Methods { acl, basic, certificate, ident } = Methods::of(config);
    [acl.err(), basic.err(), certificate.err(), ident.err()].into_iter().flatten().collect()
}

impl Access {
    /// What the configuration says.
    ///
    /// # Errors
    /// A name that does not resolve, a key or certificate that cannot be used.
    pub fn new(config: &Config, store: Arc<dyn Store>) -> anyhow::Result<Self> {
        let Methods { acl, basic, certificate, ident } = Methods::of(config);
        let prefix = config.server.authentication.global.headers_prefix.clone();
        Ok(Self {
            prefix,
            acl: acl?,
            basic: basic?,
            certificate: certificate?,
            ident: ident?,
            store,
        })
    }

    /// How a client is told that passwords are taken; none where they are not.
    pub fn challenge(&self) -> Option<String> {
        let realm = self.basic.as_ref()?.realm.replace(['"', '\\'], "");
        Some(format!("Basic realm=\"{realm}\""))
    }

    /// The user of a request.
    ///
    /// # Errors
    /// 401: what it says is not believed, or it says nothing.
    pub async fn user(&self, peer: &Peer, headers: &HeaderMap) -> Result<Identity, Problem> {
        let whole = |user: String| Identity { user, scope: None };
        let ip = peer.address.ip();
        let authorization = text(headers, header::AUTHORIZATION.as_str());
        if let Some(token) = authorization.and_then(|value| after(value, "bearer")) {
            return tokens::holder(&*self.store, token).await.map_err(refused);
        }
        let named = text(headers, &format!("{}User", self.prefix)).filter(|user| !user.is_empty());
        if let (Some(acl), Some(user)) = (&self.acl, named)
            && acl.admit(ip).await
        {
            return Ok(whole(user.to_owned()));
        }
        if let (Some(basic), Some(value)) = (&self.basic, authorization) {
            return basic.user(ip, value).await.map(whole).map_err(refused);
        }
        let header = text(headers, &format!("{}Certificate", self.prefix));
        let shown = header.is_some() || peer.certificate.is_some();
        let certificate = self.certificate.as_ref().filter(|_| shown);
        match (named, certificate, &self.ident) {
            (Some(user), Some(method), _) => {
                let names = proven(method, peer, header).await?;
                if names.iter().any(|name| name == user) {
                    return Ok(whole(user.to_owned()));
                }
                Err(refused("Specified user does not match with the certificate's CN"))
            }
            (Some(user), None, Some(ident)) => {
                if identified(ident, peer).await? == user {
                    return Ok(whole(user.to_owned()));
                }
                Err(refused(
                    "Specified user does not match with the one given by the ident service",
                ))
            }
            (Some(_), None, None) => Err(refused(format!("valid methods are {}", self.methods()))),
            (None, Some(method), _) => {
                let first = proven(method, peer, header).await?.into_iter().next();
                first.map(whole).ok_or_else(|| refused("The certificate names nobody"))
            }
            (None, None, Some(ident)) => identified(ident, peer).await.map(whole),
            (None, None, None) => Err(self.nobody()),
        }
    }

    fn methods(&self) -> String {
        let methods = [
            ("acl", self.acl.is_some()),
            ("http_basic", self.basic.is_some()),
            ("certificate", self.certificate.is_some()),
            ("ident", self.ident.is_some()),
        ];
        let there = methods.iter().filter(|(_, there)| *there).map(|(name, _)| *name);
        there.collect::<Vec<_>>().join(", ")
    }

    fn nobody(&self) -> Problem {
        let or = if self.basic.is_some() {
            " or using the HTTP Basic Authentication method"
        } else {
            ""
        };
        refused(format!("no user specified in the {}User HTTP header{or}", self.prefix))
    }
}

/// The names in a certificate that is shown in a header or was shown for the connection.
async fn proven(
    (hosts, authority): &(Hosts, Authority),
    peer: &Peer,
    header: Option<&str>,
) -> Result<Vec<String>, Problem> {
    if !hosts.admit(peer.address.ip()).await {
        return Err(refused(UNTRUSTED));
    }
    match (header, &peer.certificate) {
        (Some(text), _) => authority.header(text).map_err(refused),
        // Looked at when the connection was made, by whoever could prove to have its key.
        (None, Some(der)) => certificate::names(der).map_err(refused),
        (None, None) => Err(refused("no certificate")),
    }
}

/// Whom the client's machine says the connection belongs to.
async fn identified((hosts, port): &(Hosts, u16), peer: &Peer) -> Result<String, Problem> {
    if !hosts.admit(peer.address.ip()).await {
        return Err(refused(UNTRUSTED));
    }
    let service = SocketAddr::new(peer.address.ip(), *port);
    let ports = (peer.address.port(), peer.port);
    ident::ask(service, ports, IDENT_LIMIT).await.map_err(refused)
}

/// What those are told who ask from elsewhere.
const UNTRUSTED: &str = "Trying to authenticate from an untrusted source";

fn refused(why: impl std::fmt::Display) -> Problem {
    Problem::Unauthorized(format!("Authentication failed: {why}"))
}

/// What follows a scheme in an `Authorization`.
fn after<'a>(value: &'a str, scheme: &str) -> Option<&'a str> {
    let (found, rest) = value.split_once(' ')?;
    found.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

fn realm(config: &Config) -> String {
    let server = &config.server;
    let scheme = if server.security.secure_server { "https" } else { "http" };
    format!("{scheme}://{}:{}", own_name(config), server.network.ports.kadeploy_server)
}

/// The name of the service: the configured one, else that of the machine.
pub fn own_name(config: &Config) -> String {
    config.server.network.server_hostname.clone().unwrap_or_else(|| {
        let system = rustix::system::uname();
        system.nodename().to_string_lossy().into_owned()
    })
}

#[cfg(test)]
mod tests;

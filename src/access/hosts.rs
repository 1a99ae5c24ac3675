//! Lists of hosts.

use anyhow::{Context, bail};
use config::model::access::Host;
use regex::Regex;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs},
    time::Duration,
};
use tokio::{task::spawn_blocking, time::timeout};

/// Longest wait for the name of a client.
const LOOKUP: Duration = Duration::from_secs(5);

/// Hosts that may do something.
#[derive(Clone, Debug)]
pub(super) struct Hosts(Vec<Rule>);

#[derive(Clone, Debug)]
enum Rule {
    Network(IpAddr, u8),
    /// Of the client's name.
    Name(Regex),
}

impl Hosts {
    /// The hosts of a list; an empty one means all.
    ///
    /// # Errors
    /// A name that does not resolve, or an expression that is none.
    pub(super) fn new(list: &[Host]) -> anyhow::Result<Self> {
        let mut rules = Vec::new();
        for host in list {
            match host {
                Host::Network { address, prefix } => rules.push(Rule::Network(*address, *prefix)),
                Host::Pattern(text) => {
                    let name = Regex::new(text)
                        .with_context(|| format!("/{text}/ is not a regular expression"))?;
                    rules.push(Rule::Name(name));
                }
                Host::Name(name) => rules.extend(resolved(name)?),
            }
        }
        Ok(Self(rules))
    }

    /// This machine.
    pub(super) fn local() -> Self {
        let v6 = Rule::Network(Ipv6Addr::LOCALHOST.into(), 128);
        Self(vec![Rule::Network(Ipv4Addr::LOCALHOST.into(), 8), v6])
    }

    /// Whether `ip` is one of them. Its name is looked up only where that may matter.
    pub(super) async fn admit(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let near =
            |rule: &Rule| matches!(rule, Rule::Network(net, bits) if within(ip, *net, *bits));
        if self.0.is_empty() || self.0.iter().any(near) {
            return true;
        }
        if !self.0.iter().any(|rule| matches!(rule, Rule::Name(_))) {
            return false;
        }
        let Some(name) = name_of(ip).await else { return false };
        self.0.iter().any(|rule| matches!(rule, Rule::Name(regex) if regex.is_match(&name)))
    }
}

fn resolved(name: &str) -> anyhow::Result<Vec<Rule>> {
    let found = (name, 0).to_socket_addrs().with_context(|| format!("cannot resolve {name}"))?;
    let rule = |ip: IpAddr| Rule::Network(ip, if ip.is_ipv4() { 32 } else { 128 });
    let rules: Vec<_> = found.map(|address| rule(address.ip().to_canonical())).collect();
    if rules.is_empty() {
        bail!("{name} has no address");
    }
    Ok(rules)
}

fn within(ip: IpAddr, network: IpAddr, prefix: u8) -> bool {
    let same = |a: u128, b: u128, width: u32| {
        let away = width.saturating_sub(prefix.into());
        a.checked_shr(away).unwrap_or_default() == b.checked_shr(away).unwrap_or_default()
    };
    match (ip, network.to_canonical()) {
        (IpAddr::V4(ip), IpAddr::V4(net)) => same(ip.to_bits().into(), net.to_bits().into(), 32),
        (IpAddr::V6(ip), IpAddr::V6(net)) => same(ip.to_bits(), net.to_bits(), 128),
        _ => false,
    }
}

/// The name of a client, if it leads back to its address: who may name an address need not
/// own the name.
async fn name_of(ip: IpAddr) -> Option<String> {
    let look = move || {
        let name = dns_lookup::lookup_addr(&ip).ok()?;
        let mut back = (name.as_str(), 0).to_socket_addrs().ok()?;
        let leads = back.any(|address| address.ip().to_canonical() == ip);
        if !leads {
            tracing::warn!(%ip, name, "the name of this client does not lead back to it");
        }
        leads.then_some(name)
    };
    timeout(LOOKUP, spawn_blocking(look)).await.ok()?.ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(address: &str, prefix: u8) -> Host {
        Host::Network { address: address.parse().unwrap(), prefix }
    }

    async fn admits(list: &[Host], ip: &str) -> bool {
        Hosts::new(list).unwrap().admit(ip.parse().unwrap()).await
    }

    #[tokio::test]
    async fn networks_end_where_their_prefix_says() {
        let list = [net("10.1.0.0", 16), net("2001:db8::", 32), net("192.0.2.7", 32)];
        for (ip, inside) in [
            ("10.1.255.255", true),
            ("10.2.0.0", false),
            ("::ffff:10.1.2.3", true),
            ("192.0.2.7", true),
            ("192.0.2.6", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
            ("::a01:203", false),
        ] {
            assert_eq!(admits(&list, ip).await, inside, "{ip}");
        }
        assert!(admits(&[net("0.0.0.0", 0)], "203.0.113.9").await);
        assert!(!admits(&[net("0.0.0.0", 0)], "2001:db8::1").await);
        assert!(admits(&[], "203.0.113.9").await);
    }

    #[tokio::test]
    async fn names_are_those_of_the_load_and_expressions_those_of_the_moment() {
        assert!(admits(&[Host::Name("localhost".into())], "127.0.0.1").await);
        assert!(!admits(&[Host::Name("localhost".into())], "127.0.0.2").await);
        assert!(admits(&[Host::Pattern("^local".into())], "127.0.0.1").await);
        assert!(!admits(&[Host::Pattern("^remote".into())], "127.0.0.1").await);
        let unknown = Hosts::new(&[Host::Name("no-such-host.invalid".into())]).unwrap_err();
        assert!(format!("{unknown:#}").contains("cannot resolve no-such-host.invalid"));
        assert!(Hosts::new(&[Host::Pattern("(".into())]).is_err());
    }
}

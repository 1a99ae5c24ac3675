//! What is answered to a machine that is known. Pure.

use super::{
    DhcpHost, Mode, Settings,
    request::{Ask, Stage},
};
use crate::Firmware;
use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode};
use std::net::Ipv4Addr;

/// Longest name in the `file` field, which ends in a NUL (RFC 2131 section 2).
const FILE: usize = 127;
/// Option 43 of a proxy: `PXE_DISCOVERY_CONTROL` = 8, boot the file named in this
/// offer and ask no boot server (PXE specification 2.1, table 2-1).
const BOOT_AS_OFFERED: [u8; 4] = [6, 1, 8, 255];

/// Which socket was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// Port 67.
    Dhcp,
    /// Port 4011, the boot server of the PXE specification.
    Boot,
}

/// What is done about a message.
#[derive(Debug)]
pub(super) enum Verdict {
    /// This is sent.
    Reply(Box<Message>),
    /// Nothing is sent, for this reason.
    Silence(&'static str),
}

/// Decides what `host` gets for `ask`.
pub(super) fn answer(ask: &Ask, host: &DhcpHost, settings: &Settings, door: Door) -> Verdict {
    let full = settings.mode == Mode::Full && door == Door::Dhcp;
    match (full, ask.kind) {
        (true, MessageType::Discover) => lease(ask, host, settings, MessageType::Offer),
        (true, MessageType::Request) => request(ask, host, settings),
        (true, MessageType::Inform) => {
            let mut reply = reply(ask, settings, MessageType::Ack);
            network(&mut reply, host, settings);
            boot(&mut reply, ask, host, settings);
            Verdict::Reply(Box::new(reply))
        }
        (true, MessageType::Decline) => Verdict::Silence("another machine uses its address"),
        (true, MessageType::Release) => Verdict::Silence("its address stays its own"),
        (false, MessageType::Discover) if door == Door::Dhcp => {
            proxy(ask, host, settings, MessageType::Offer)
        }
        (false, MessageType::Request)
            if door == Door::Dhcp && ask.server != Some(settings.server) =>
        {
            Verdict::Silence("it asks another server")
        }
        (false, MessageType::Request | MessageType::Inform) => {
            proxy(ask, host, settings, MessageType::Ack)
        }
        _ => Verdict::Silence("not for this server"),
    }
}

/// RFC 2131 section 4.3.2.
fn request(ask: &Ask, host: &DhcpHost, settings: &Settings) -> Verdict {
    if ask.server.is_some_and(|server| server != settings.server) {
        return Verdict::Silence("it chose another server");
    }
    if ask.address == Some(host.address) {
        return lease(ask, host, settings, MessageType::Ack);
    }
    let mut refused = reply(ask, settings, MessageType::Nak);
    refused.set_ciaddr(Ipv4Addr::UNSPECIFIED).set_siaddr(Ipv4Addr::UNSPECIFIED);
    // A relay cannot know where a machine with a wrong address is.
    let flags = refused.flags().set_broadcast();
    refused.set_flags(flags);
    refused.opts_mut().insert(DhcpOption::Message(format!("your address is {}", host.address)));
    Verdict::Reply(Box::new(refused))
}

fn lease(ask: &Ask, host: &DhcpHost, settings: &Settings, kind: MessageType) -> Verdict {
    let mut reply = reply(ask, settings, kind);
    reply.set_yiaddr(host.address);
    let lease = u32::try_from(settings.lease.as_secs()).unwrap_or(u32::MAX);
    let options = reply.opts_mut();
    options.insert(DhcpOption::AddressLeaseTime(lease));
    // RFC 2131 section 4.4.5.
    options.insert(DhcpOption::Renewal(lease / 2));
    options.insert(DhcpOption::Rebinding(lease - lease / 8));
    network(&mut reply, host, settings);
    boot(&mut reply, ask, host, settings);
    Verdict::Reply(Box::new(reply))
}

fn proxy(ask: &Ask, host: &DhcpHost, settings: &Settings, kind: MessageType) -> Verdict {
    if !ask.boots() {
        return Verdict::Silence("it does not boot from the network");
    }
    let mut reply = reply(ask, settings, kind);
    if !boot(&mut reply, ask, host, settings) {
        return Verdict::Silence("nothing is set for it to boot");
    }
    if ask.stage != Stage::Http {
        reply.opts_mut().insert(DhcpOption::ClassIdentifier(b"PXEClient".to_vec()));
        reply.opts_mut().insert(DhcpOption::VendorExtensions(BOOT_AS_OFFERED.to_vec()));
    }
    Verdict::Reply(Box::new(reply))
}

/// A reply with what every reply has (RFC 2131 table 3).
fn reply(ask: &Ask, settings: &Settings, kind: MessageType) -> Message {
    let asked = &ask.message;
    let ciaddr = if kind == MessageType::Ack { asked.ciaddr() } else { Ipv4Addr::UNSPECIFIED };
    let none = Ipv4Addr::UNSPECIFIED;
    let mut reply =
        Message::new_with_id(asked.xid(), ciaddr, none, none, asked.giaddr(), asked.chaddr());
    reply.set_opcode(Opcode::BootReply).set_htype(asked.htype()).set_flags(asked.flags());
    let options = reply.opts_mut();
    options.insert(DhcpOption::MessageType(kind));
    options.insert(DhcpOption::ServerIdentifier(settings.server));
    // To be sent back as they came: RFC 6842, RFC 3046 section 2.2, RFC 4578 section 2.3.
    let echoed = [
        OptionCode::ClientIdentifier,
        OptionCode::RelayAgentInformation,
        OptionCode::ClientMachineIdentifier,
    ];
    for option in echoed.into_iter().filter_map(|code| asked.opts().get(code)) {
        options.insert(option.clone());
    }
    reply
}

fn network(reply: &mut Message, host: &DhcpHost, settings: &Settings) {
    let options = reply.opts_mut();
    options.insert(DhcpOption::SubnetMask(settings.netmask));
    options.insert(DhcpOption::Hostname(host.hostname.clone()));
    if let Some(router) = settings.router {
        options.insert(DhcpOption::Router(vec![router]));
    }
    if !settings.dns.is_empty() {
        options.insert(DhcpOption::DomainNameServer(settings.dns.clone()));
    }
    if let Some(domain) = &settings.domain {
        options.insert(DhcpOption::DomainName(domain.clone()));
    }
}

/// Adds what to boot; false if there is nothing.
fn boot(reply: &mut Message, ask: &Ask, host: &DhcpHost, settings: &Settings) -> bool {
    let Some(file) = file(ask, host).filter(|_| ask.boots()) else { return false };
    reply.set_siaddr(settings.next_server);
    if file.len() <= FILE {
        reply.set_fname_str(file);
    }
    let options = reply.opts_mut();
    options.insert(DhcpOption::BootfileName(file.as_bytes().to_vec()));
    if ask.stage == Stage::Http {
        // Firmware takes an offer for HTTP boot only with this (UEFI 2.10, 24.7.2.3.2).
        options.insert(DhcpOption::ClassIdentifier(b"HTTPClient".to_vec()));
    } else {
        let server = settings.next_server.to_string().into_bytes();
        options.insert(DhcpOption::TFTPServerName(server));
    }
    true
}

/// The file for what the machine is now: architectures of RFC 4578 section 2.1
/// and the IANA registry of processor architecture types.
fn file<'a>(ask: &Ask, host: &'a DhcpHost) -> Option<&'a str> {
    let files = &host.boot;
    let file = match (ask.stage, ask.architecture, host.firmware) {
        (Stage::Ipxe, _, _) => &files.ipxe,
        (Stage::Http, Some(16) | None, _) => &files.uefi_http,
        (Stage::Http, _, _) => &None,
        (_, Some(0), _) | (_, None, Firmware::Bios) => &files.bios,
        (_, Some(7 | 9), _) | (_, None, Firmware::Uefi) => &files.uefi,
        _ => &None,
    };
    file.as_deref()
}

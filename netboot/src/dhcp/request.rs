//! What a DHCP message asks.

use crate::Mac;
use dhcproto::{
    Decodable, Decoder,
    v4::{DhcpOption, Message, MessageType, Opcode, OptionCode},
};
use std::{fmt, net::Ipv4Addr};

/// Bytes up to the options: RFC 2131 section 2, and the cookie of section 3.
const FIXED: usize = 240;
/// Where the length of the hardware address is, and what it is on Ethernet.
const HLEN: usize = 2;
const ETHERNET: u8 = 6;
/// Marks the options of DHCP.
const COOKIE: [u8; 4] = [99, 130, 83, 99];

/// The options that are read, or sent back. The codec sees no others: its readers
/// of some others panic on values that they do not expect (121 with a prefix of 33,
/// 151 without a value), and a packet must not be able to stop the server.
const READ: [OptionCode; 10] = [
    OptionCode::RequestedIpAddress,
    OptionCode::MessageType,
    OptionCode::ServerIdentifier,
    OptionCode::ParameterRequestList,
    OptionCode::ClassIdentifier,
    OptionCode::ClientIdentifier,
    OptionCode::UserClass,
    OptionCode::RelayAgentInformation,
    OptionCode::ClientSystemArchitecture,
    OptionCode::ClientMachineIdentifier,
];

/// What sends the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// iPXE (user class, RFC 3004).
    Ipxe,
    /// Firmware that boots by HTTP.
    Http,
    /// Firmware that boots by TFTP.
    Pxe,
    /// An installed system, or a boot loader that does not tell.
    Other,
}

/// A message of a client.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) message: Message,
    pub(super) kind: MessageType,
    pub(super) mac: Mac,
    pub(super) stage: Stage,
    /// Client architecture (RFC 4578, option 93).
    pub(super) architecture: Option<u16>,
    /// The address the client wants, or has.
    pub(super) address: Option<Ipv4Addr>,
    /// The server that the client has chosen.
    pub(super) server: Option<Ipv4Addr>,
}

impl Ask {
    /// Reads a packet; nothing if it is not a DHCP message of an Ethernet client.
    pub(super) fn read(packet: &[u8]) -> Option<Self> {
        // The codec trusts this length when it gives the address out.
        let cookie = packet.get(FIXED - COOKIE.len()..FIXED)?;
        if packet[HLEN] != ETHERNET || cookie != COOKIE {
            return None;
        }
        let message = Message::decode(&mut Decoder::new(&sieved(packet))).ok()?;
        if message.opcode() != Opcode::BootRequest {
            return None;
        }
        let options = message.opts();
        let address = match options.get(OptionCode::RequestedIpAddress) {
            Some(DhcpOption::RequestedIpAddress(address)) => Some(*address),
            _ => Some(message.ciaddr()).filter(|address| !address.is_unspecified()),
        };
        let server = match options.get(OptionCode::ServerIdentifier) {
            Some(DhcpOption::ServerIdentifier(server)) => Some(*server),
            _ => None,
        };
        let architecture = match options.get(OptionCode::ClientSystemArchitecture) {
            Some(DhcpOption::ClientSystemArchitecture(architecture)) => Some(architecture.0),
            _ => None,
        };
        Some(Self {
            kind: options.msg_type()?,
            mac: Mac(message.chaddr().try_into().ok()?),
            stage: stage(&message),
            architecture,
            address,
            server,
            message,
        })
    }

    /// Whether the client looks for something to boot.
    pub(super) fn boots(&self) -> bool {
        let wanted = match self.message.opts().get(OptionCode::ParameterRequestList) {
            Some(DhcpOption::ParameterRequestList(codes)) => {
                codes.contains(&OptionCode::BootfileName)
            }
            _ => false,
        };
        self.stage != Stage::Other || self.architecture.is_some() || wanted
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", format!("{:?}", self.kind).to_uppercase())?;
        match self.stage {
            Stage::Ipxe => f.write_str(" from iPXE")?,
            Stage::Http => f.write_str(" from HTTP boot firmware")?,
            Stage::Pxe => f.write_str(" from PXE firmware")?,
            Stage::Other => {}
        }
        self.architecture.map_or(Ok(()), |number| write!(f, ", architecture {number}"))
    }
}

/// The packet with only the options of [`READ`] (RFC 2132 section 2: a code, a
/// length, and that many bytes; 0 is padding and 255 the end).
fn sieved(packet: &[u8]) -> Vec<u8> {
    let (fixed, mut rest) = packet.split_at(FIXED);
    let mut kept = fixed.to_vec();
    loop {
        match rest {
            [0, after @ ..] => rest = after,
            [code, len, after @ ..] if *code != 255 && after.len() >= usize::from(*len) => {
                let (value, after) = after.split_at(usize::from(*len));
                let value =
                    value.get(..first(*code, value.len())).filter(|value| !value.is_empty());
                if let Some(value) = value.filter(|_| READ.contains(&OptionCode::from(*code))) {
                    kept.push(*code);
                    // No longer than `len`, which was a byte.
                    kept.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
                    kept.extend(value);
                }
                rest = after;
            }
            _ => break,
        }
    }
    kept.push(255);
    kept
}

/// How much of an option's value is read. A client may list several architectures
/// (RFC 4578 section 2.1): the codec expects one, and would take the rest for options.
fn first(code: u8, len: usize) -> usize {
    match OptionCode::from(code) {
        OptionCode::MessageType => 1,
        OptionCode::ClientSystemArchitecture => 2,
        _ => len,
    }
}

fn stage(message: &Message) -> Stage {
    let class = match message.opts().get(OptionCode::ClassIdentifier) {
        Some(DhcpOption::ClassIdentifier(class)) => class.as_slice(),
        _ => &[],
    };
    // RFC 3004 puts a length before each class; iPXE does not.
    let ipxe = match message.opts().get(OptionCode::UserClass) {
        Some(DhcpOption::UserClass(class)) => {
            class == b"iPXE" || class.windows(5).any(|part| part == b"\x04iPXE")
        }
        _ => false,
    };
    match class {
        _ if ipxe => Stage::Ipxe,
        class if class.starts_with(b"HTTPClient") => Stage::Http,
        class if class.starts_with(b"PXEClient") => Stage::Pxe,
        _ => Stage::Other,
    }
}

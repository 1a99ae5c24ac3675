mod wire;

use super::{
    answer::{Door, Verdict, answer},
    request::Ask,
    *,
};
use crate::{Firmware, Mac};
use dhcproto::{
    Encodable,
    v4::{Architecture, DhcpOption, Message, MessageType, OptionCode},
};
use proptest::prelude::*;

const MAC: Mac = Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 12);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const SCRIPT: &str = "http://10.0.0.1:8080/boot.ipxe";

fn host(firmware: Firmware) -> DhcpHost {
    let file = |name: &str| Some(name.to_owned());
    DhcpHost {
        macs: vec![MAC],
        address: ADDRESS,
        hostname: "node-12".to_owned(),
        firmware,
        boot: BootFiles {
            bios: file("undionly.kpxe"),
            uefi: file("snponly.efi"),
            uefi_http: file("http://10.0.0.1:8080/snponly.efi"),
            ipxe: file(SCRIPT),
        },
    }
}

fn settings(mode: Mode) -> Settings {
    Settings {
        mode,
        server: SERVER,
        next_server: Ipv4Addr::new(10, 0, 0, 2),
        netmask: Ipv4Addr::new(255, 255, 255, 0),
        router: Some(Ipv4Addr::new(10, 0, 0, 254)),
        dns: vec![Ipv4Addr::new(10, 0, 0, 53)],
        domain: Some("site.example.org".to_owned()),
        lease: Duration::from_secs(3600),
        ports: Ports::default(),
    }
}

fn message(kind: MessageType, options: impl IntoIterator<Item = DhcpOption>) -> Message {
    let none = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(7, none, none, none, none, &MAC.0);
    message.opts_mut().insert(DhcpOption::MessageType(kind));
    for option in options {
        message.opts_mut().insert(option);
    }
    message
}

fn pxe(architecture: u16) -> Vec<DhcpOption> {
    vec![
        DhcpOption::ClassIdentifier(b"PXEClient:Arch:00000:UNDI:002001".to_vec()),
        DhcpOption::ClientSystemArchitecture(Architecture(architecture)),
        DhcpOption::ClientMachineIdentifier(vec![0; 17]),
    ]
}

/// What a message that came over the wire gets.
fn verdict(message: &Message, firmware: Firmware, mode: Mode, door: Door) -> Verdict {
    let ask = Ask::read(&message.to_vec().unwrap()).expect("a DHCP message");
    answer(&ask, &host(firmware), &settings(mode), door)
}

fn reply(message: &Message, mode: Mode, door: Door) -> Message {
    match verdict(message, Firmware::Bios, mode, door) {
        Verdict::Reply(reply) => *reply,
        Verdict::Silence(why) => panic!("no answer: {why}"),
    }
}

fn silence(message: &Message, mode: Mode, door: Door) -> &'static str {
    match verdict(message, Firmware::Bios, mode, door) {
        Verdict::Silence(why) => why,
        Verdict::Reply(reply) => panic!("an answer: {reply:?}"),
    }
}

fn boot_file(message: &Message) -> Option<String> {
    match message.opts().get(OptionCode::BootfileName) {
        Some(DhcpOption::BootfileName(file)) => Some(String::from_utf8(file.clone()).unwrap()),
        _ => None,
    }
}

#[test]
fn a_known_machine_gets_its_own_address() {
    let offer = reply(&message(MessageType::Discover, pxe(0)), Mode::Full, Door::Dhcp);
    assert_eq!((offer.xid(), offer.yiaddr(), offer.chaddr()), (7, ADDRESS, MAC.0.as_slice()));
    assert_eq!(offer.siaddr(), Ipv4Addr::new(10, 0, 0, 2));
    assert_eq!(offer.fname(), Some(b"undionly.kpxe".as_slice()));
    for option in [
        DhcpOption::MessageType(MessageType::Offer),
        DhcpOption::ServerIdentifier(SERVER),
        DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)),
        DhcpOption::Router(vec![Ipv4Addr::new(10, 0, 0, 254)]),
        DhcpOption::DomainNameServer(vec![Ipv4Addr::new(10, 0, 0, 53)]),
        DhcpOption::DomainName("site.example.org".to_owned()),
        DhcpOption::Hostname("node-12".to_owned()),
        DhcpOption::AddressLeaseTime(3600),
        DhcpOption::Renewal(1800),
        DhcpOption::Rebinding(3150),
        DhcpOption::TFTPServerName(b"10.0.0.2".to_vec()),
        DhcpOption::BootfileName(b"undionly.kpxe".to_vec()),
        DhcpOption::ClientMachineIdentifier(vec![0; 17]),
    ] {
        assert_eq!(offer.opts().get(OptionCode::from(&option)), Some(&option));
    }
}

#[test]
fn what_is_booted_follows_from_what_the_machine_is_now() {
    let class = |class: &[u8]| DhcpOption::UserClass(class.to_vec());
    let http = DhcpOption::ClassIdentifier(b"HTTPClient:Arch:00016:UNDI:003001".to_vec());
    let x64_http = DhcpOption::ClientSystemArchitecture(Architecture(16));
    let bare = DhcpOption::ClassIdentifier(b"PXEClient".to_vec());
    for (options, firmware, file) in [
        (pxe(0), Firmware::Uefi, Some("undionly.kpxe")),
        (pxe(7), Firmware::Bios, Some("snponly.efi")),
        (pxe(9), Firmware::Bios, Some("snponly.efi")),
        (pxe(11), Firmware::Bios, None),
        (vec![bare.clone()], Firmware::Bios, Some("undionly.kpxe")),
        (vec![bare], Firmware::Uefi, Some("snponly.efi")),
        (vec![http, x64_http], Firmware::Bios, Some("http://10.0.0.1:8080/snponly.efi")),
        ([pxe(0), vec![class(b"iPXE")]].concat(), Firmware::Bios, Some(SCRIPT)),
        ([pxe(7), vec![class(b"\x03foo\x04iPXE")]].concat(), Firmware::Bios, Some(SCRIPT)),
        ([pxe(0), vec![class(b"\x06notPXE")]].concat(), Firmware::Bios, Some("undionly.kpxe")),
        (vec![], Firmware::Bios, None),
        (
            vec![DhcpOption::ParameterRequestList(vec![OptionCode::BootfileName])],
            Firmware::Bios,
            Some("undionly.kpxe"),
        ),
    ] {
        let asked = message(MessageType::Discover, options.clone());
        let Verdict::Reply(offer) = verdict(&asked, firmware, Mode::Full, Door::Dhcp) else {
            panic!("no offer for {options:?}")
        };
        assert_eq!(boot_file(&offer).as_deref(), file, "{options:?}");
        let http = DhcpOption::ClassIdentifier(b"HTTPClient".to_vec());
        let is_http = offer.opts().get(OptionCode::ClassIdentifier) == Some(&http);
        assert_eq!(is_http, file.is_some_and(|file| file.starts_with("http") && file != SCRIPT));
    }
}

#[test]
fn a_request_is_acknowledged_refused_or_left_to_another() {
    let wants = |address| DhcpOption::RequestedIpAddress(address);
    let of = |server| DhcpOption::ServerIdentifier(server);
    let other = Ipv4Addr::new(10, 0, 0, 99);
    let kind = |message: &Message| reply(message, Mode::Full, Door::Dhcp).opts().msg_type();

    let selecting = message(MessageType::Request, [wants(ADDRESS), of(SERVER)]);
    assert_eq!(kind(&selecting), Some(MessageType::Ack));
    let rebooting = message(MessageType::Request, [wants(ADDRESS)]);
    assert_eq!(kind(&rebooting), Some(MessageType::Ack));
    let mut renewing = message(MessageType::Request, []);
    renewing.set_ciaddr(ADDRESS);
    let renewed = reply(&renewing, Mode::Full, Door::Dhcp);
    assert_eq!((renewed.ciaddr(), renewed.yiaddr()), (ADDRESS, ADDRESS));

    let wrong = reply(&message(MessageType::Request, [wants(other)]), Mode::Full, Door::Dhcp);
    assert_eq!(wrong.opts().msg_type(), Some(MessageType::Nak));
    assert_eq!((wrong.yiaddr(), wrong.siaddr()), (Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED));
    let elsewhere = message(MessageType::Request, [wants(ADDRESS), of(other)]);
    assert_eq!(silence(&elsewhere, Mode::Full, Door::Dhcp), "it chose another server");
}

#[test]
fn inform_decline_release() {
    let mut inform = message(MessageType::Inform, []);
    inform.set_ciaddr(ADDRESS);
    let told = reply(&inform, Mode::Full, Door::Dhcp);
    assert_eq!(told.opts().msg_type(), Some(MessageType::Ack));
    assert_eq!((told.ciaddr(), told.yiaddr()), (ADDRESS, Ipv4Addr::UNSPECIFIED));
    assert!(told.opts().get(OptionCode::AddressLeaseTime).is_none());
    for kind in [MessageType::Decline, MessageType::Release, MessageType::Ack] {
        silence(&message(kind, []), Mode::Full, Door::Dhcp);
    }
}

#[test]
fn a_proxy_tells_what_to_boot_and_gives_no_address() {
    let asked = message(MessageType::Discover, pxe(0));
    let boot_request = message(MessageType::Request, pxe(0));
    for (asked, door, kind) in
        [(&asked, Door::Dhcp, MessageType::Offer), (&boot_request, Door::Boot, MessageType::Ack)]
    {
        let told = reply(asked, Mode::Proxy, door);
        assert_eq!(told.opts().msg_type(), Some(kind));
        assert_eq!(told.yiaddr(), Ipv4Addr::UNSPECIFIED);
        assert_eq!(boot_file(&told).as_deref(), Some("undionly.kpxe"));
        let class = DhcpOption::ClassIdentifier(b"PXEClient".to_vec());
        assert_eq!(told.opts().get(OptionCode::ClassIdentifier), Some(&class));
        let control = DhcpOption::VendorExtensions(vec![6, 1, 8, 255]);
        assert_eq!(told.opts().get(OptionCode::VendorExtensions), Some(&control));
        for code in [OptionCode::SubnetMask, OptionCode::Router, OptionCode::AddressLeaseTime] {
            assert!(told.opts().get(code).is_none(), "{code:?}");
        }
    }
    // The other server's business.
    silence(&boot_request, Mode::Proxy, Door::Dhcp);
    silence(&message(MessageType::Discover, []), Mode::Proxy, Door::Dhcp);
    silence(&message(MessageType::Discover, pxe(11)), Mode::Proxy, Door::Dhcp);
}

#[test]
fn a_long_url_goes_where_it_fits() {
    let ask = Ask::read(&message(MessageType::Discover, pxe(0)).to_vec().unwrap()).unwrap();
    let mut host = host(Firmware::Bios);
    let url = format!("http://10.0.0.1/{}", "x".repeat(400));
    host.boot.bios = Some(url.clone());
    let Verdict::Reply(offer) = answer(&ask, &host, &settings(Mode::Full), Door::Dhcp) else {
        panic!("no offer")
    };
    assert_eq!((offer.fname(), boot_file(&offer)), (None, Some(url)));
    assert!(offer.to_vec().unwrap().len() > 400);
}

/// Values that the codec's own readers panic on, or misread, change nothing.
#[test]
fn odd_options_are_left_out() {
    let good = message(MessageType::Discover, []).to_vec().unwrap();
    let read = |options: &[u8]| Ask::read(&[&good[..240], options].concat());
    let discover = [53, 1, 1];
    for odd in [
        [121, 5, 33, 10, 0, 0, 1].as_slice(),
        &[151, 0],
        &[152, 0, 0, 0],
        &[12, 2, 0xff, 0xfe],
        &[53, 0],
        &[93, 1, 0],
        &[82, 3, 1, 9, 0],
        &[0, 0, 0],
    ] {
        let ask = read(&[odd, &discover].concat()).expect("the rest is read");
        assert_eq!(ask.kind, MessageType::Discover, "{odd:?}");
        answer(&ask, &host(Firmware::Bios), &settings(Mode::Full), Door::Dhcp);
    }
    let two = read(&[93, 4, 0, 7, 0, 16, 53, 1, 1, 255]).expect("two architectures");
    assert_eq!(two.architecture, Some(7));
    assert!(read(&[53, 9, 1]).is_none(), "cut off");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]
    /// Neither reading nor answering panics, and no answer gives another address.
    #[test]
    fn no_packet_makes_it_panic(
        head in prop::collection::vec(any::<u8>(), 0..240),
        options in prop::collection::vec(prop_oneof![0..100u8, any::<u8>()], 0..80),
        real in any::<bool>(),
        mode in prop::sample::select(vec![Mode::Proxy, Mode::Full]),
        door in prop::sample::select(vec![Door::Dhcp, Door::Boot]),
    ) {
        let mut packet = if real {
            let mut good = message(MessageType::Discover, pxe(0)).to_vec().unwrap();
            good.truncate(240);
            [good, vec![53, 1, options.first().map_or(1, |byte| byte % 9)], options].concat()
        } else {
            [head, options].concat()
        };
        if let Some(ask) = Ask::read(&packet)
            && let Verdict::Reply(reply) = answer(&ask, &host(Firmware::Uefi), &settings(mode), door)
        {
            reply.to_vec().unwrap();
            prop_assert!(reply.yiaddr().is_unspecified() || reply.yiaddr() == ADDRESS);
        }
        packet.truncate(200);
        prop_assert!(Ask::read(&packet).is_none());
    }
}

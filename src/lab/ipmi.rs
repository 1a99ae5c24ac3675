//! IPMI BMCs: `ipmi_sim` of the `OpenIPMI` project, one for each node.
//!
//! It runs our helper (`kadence lab bmc-chassis`) for whatever concerns the
//! machine, waits for it, and runs it again for each repeated request: so the
//! helper only passes the wish to the keeper, which answers at once. It also
//! hands its sockets down to the helper, which is no harm as long as the helper
//! starts nothing.

use super::{
    BootDevice, Guest, LabError, Place,
    control::{Answer, PowerOp, Request, ask},
    place::write_private,
    plan::BMC_USER,
};
use std::{fmt::Write, path::PathBuf};

/// Port of IPMI over LAN (IPMI 2.0, section 13.1.2).
pub(super) const IPMI_PORT: u16 = 623;
/// The BMC's own address on its bus (IPMI 2.0, section 5.5).
const BMC_ADDRESS: &str = "0x20";
/// The BMC and nothing else: its device id, without sensors.
const EMULATOR: &str = "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\n";

/// Port on the loopback interface where the keeper offers the node's serial port.
pub(super) fn sol_port(guest: &Guest) -> u16 {
    7000 + u16::from(guest.number)
}

/// Writes the files of the node's BMC and returns the arguments of `ipmi_sim`.
pub(super) fn prepare(
    place: &Place,
    guest: &Guest,
    password: &str,
) -> Result<Vec<String>, LabError> {
    let file = |end: &str| place.at("bmcs").join(format!("{}.{end}", guest.name()));
    let (lan, emulator, state) = (file("lan"), file("emu"), file("state"));
    write_private(&lan, &lan_conf(place, guest, password))?;
    write_private(&emulator, EMULATOR)?;
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    Ok(["-n".into(), "-c".into(), text(lan), "-f".into(), text(emulator), "-s".into(), text(state)]
        .into())
}

/// `ipmi_sim`'s own configuration (`ipmi_lan(5)`).
fn lan_conf(place: &Place, guest: &Guest, password: &str) -> String {
    let mut text =
        format!("name \"{}\"\nset_working_mc {BMC_ADDRESS}\n  startlan 1\n", guest.name());
    let _ = writeln!(text, "    addr {} {IPMI_PORT}\n    priv_limit admin", guest.bmc_address);
    for level in ["callback", "user", "operator", "admin"] {
        let _ = writeln!(text, "    allowed_auths_{level} none md2 md5 straight");
    }
    let _ = writeln!(text, "    guid 770000000000000000000000000000{:02x}\n  endlan", guest.number);
    let _ = writeln!(
        text,
        "  chassis_control \"{} lab --name {} --state-dir {} bmc-chassis {} {BMC_ADDRESS}\"",
        place.program().display(),
        place.name(),
        place.dir().display(),
        guest.number,
    );
    let _ = writeln!(text, "  sol \"telnet:127.0.0.1:{}\" 115200", sol_port(guest));
    let _ = writeln!(
        text,
        "  user 2 true \"{BMC_USER}\" \"{password}\" admin 10 none md2 md5 straight"
    );
    text
}

/// One thing `ipmi_sim` wants of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Chassis {
    Nothing,
    GetPower,
    GetBoot,
    Set(Request),
}

/// Understands the helper's arguments: `BMC get power boot`, `BMC set power 1`, `BMC check reset`.
fn parse(node: u8, words: &[String]) -> Result<Vec<Chassis>, LabError> {
    let refuse = |word: &str| LabError::Argument {
        what: "chassis command",
        value: word.into(),
        reason: "the lab's BMC cannot do that".into(),
    };
    let words: Vec<&str> = words.iter().map(String::as_str).skip(1).collect();
    match words.split_first() {
        Some((&"check", _)) => Ok(vec![Chassis::Nothing]),
        Some((&"get", what)) => what
            .iter()
            .map(|word| match *word {
                "power" => Ok(Chassis::GetPower),
                "boot" => Ok(Chassis::GetBoot),
                other => Err(refuse(other)),
            })
            .collect(),
        Some((&"set", pairs)) => pairs
            .chunks(2)
            .map(|pair| set(node, pair).ok_or_else(|| refuse(&pair.join(" "))))
            .collect(),
        _ => Err(refuse(&words.join(" "))),
    }
}

fn set(node: u8, pair: &[&str]) -> Option<Chassis> {
    let power = |op| Some(Chassis::Set(Request::SetPower { node, op, wait: false }));
    let boot = |device| Some(Chassis::Set(Request::SetBoot { node, device }));
    match pair {
        ["power", "1"] => power(PowerOp::On),
        ["power", "0"] => power(PowerOp::Off),
        ["reset", "1"] => power(PowerOp::Reset),
        ["shutdown", "1"] => power(PowerOp::Shutdown),
        ["reset" | "shutdown", "0"] | ["identify", _] => Some(Chassis::Nothing),
        ["boot", "pxe"] => boot(Some(BootDevice::Pxe)),
        ["boot", "default"] => boot(Some(BootDevice::Disk)),
        ["boot", "none"] => boot(None),
        _ => None,
    }
}

/// The helper: does what `ipmi_sim` asked in `words` for the node and returns what it is to print.
pub(super) async fn chassis(place: &Place, node: u8, words: &[String]) -> Result<String, LabError> {
    let mut said = String::new();
    for wish in parse(node, words)? {
        let answer = match wish {
            Chassis::Nothing => continue,
            Chassis::GetPower => ask(place, &Request::Power { node }).await?,
            Chassis::GetBoot => ask(place, &Request::Boot { node }).await?,
            Chassis::Set(request) => ask(place, &request).await?,
        };
        match answer {
            Answer::Power { on } => {
                let _ = writeln!(said, "power:{}", u8::from(on));
            }
            Answer::Boot { device } => {
                let word = match device {
                    None => "none",
                    Some(BootDevice::Pxe) => "pxe",
                    Some(BootDevice::Disk) => "default",
                };
                let _ = writeln!(said, "boot:{word}");
            }
            _ => {}
        }
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_simulators_wishes_are_understood() {
        let power = |op| Chassis::Set(Request::SetPower { node: 3, op, wait: false });
        assert_eq!(
            parse(3, &words("0x20 get power boot")).unwrap(),
            [Chassis::GetPower, Chassis::GetBoot]
        );
        assert_eq!(parse(3, &words("0x20 set power 1")).unwrap(), [power(PowerOp::On)]);
        assert_eq!(
            parse(3, &words("0x20 set power 0 reset 0")).unwrap(),
            [power(PowerOp::Off), Chassis::Nothing]
        );
        let pxe = Chassis::Set(Request::SetBoot { node: 3, device: Some(BootDevice::Pxe) });
        assert_eq!(parse(3, &words("0x20 set boot pxe")).unwrap(), [pxe]);
        for bad in ["0x20", "0x20 set power", "0x20 set power 2", "0x20 get secrets", "get power"] {
            assert!(parse(3, &words(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_bmc_has_its_address_password_and_machine() {
        let place = Place::new("x", Some("/s".into()), "/bin/kadence".into()).unwrap();
        let wishes = super::super::plan::tests::wishes(3);
        let plan = super::super::Plan::new("x", &wishes, super::super::Accel::Tcg).unwrap();
        let text = lan_conf(&place, &plan.guests[0], "pw");
        for line in [
            "    addr 10.77.1.11 623\n",
            "chassis_control \"/bin/kadence lab --name x --state-dir /s bmc-chassis 1 0x20\"\n",
            "sol \"telnet:127.0.0.1:7001\" 115200\n",
            "user 2 true \"admin\" \"pw\" admin 10 none md2 md5 straight\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}

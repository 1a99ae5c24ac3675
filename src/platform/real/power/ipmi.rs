//! IPMI 2.0 over LAN, by `ipmitool`.

use super::{Order, process};
use crate::{
    nodes::Bmc,
    platform::{PowerError, PowerState},
};
use std::time::{Duration, Instant};
use tokio::process::Command;

/// Seconds that `ipmitool` waits for an answer before it asks again. Healthy BMCs
/// answer in a tenth of one; asking a slow one too soon makes it do an order twice.
const FIRST_ANSWER: &str = "3";
/// How often it asks again; with [`FIRST_ANSWER`] a silent BMC is given up in some
/// six seconds (measured). The caller's deadline may be shorter.
const RETRIES: &str = "1";

/// Reads the power state.
pub(super) async fn status(bmc: &Bmc, deadline: Duration) -> Result<PowerState, PowerError> {
    let said = chassis_power(bmc, "status", deadline).await?;
    match said.as_str() {
        "Chassis Power is on" => Ok(PowerState::On),
        "Chassis Power is off" => Ok(PowerState::Off),
        _ => Err(refused(bmc, &said)),
    }
}

/// Gives an order; returns when the BMC has accepted it.
pub(super) async fn order(bmc: &Bmc, order: Order, deadline: Duration) -> Result<(), PowerError> {
    let verb = match order {
        Order::On => "on",
        Order::Off => "off",
        Order::SoftOff => "soft",
        Order::Reset => "reset",
    };
    chassis_power(bmc, verb, deadline).await.map(drop)
}

async fn chassis_power(bmc: &Bmc, verb: &str, deadline: Duration) -> Result<String, PowerError> {
    let start = Instant::now();
    let silent = || PowerError::Silent { address: bmc.place(), after: start.elapsed() };
    // ipmitool would ask for a password it cannot read.
    if let Err(error) = tokio::fs::metadata(&bmc.password_file).await {
        return Err(PowerError::Refused(format!(
            "cannot read {} (bmc.password_file): {error}",
            bmc.password_file.display()
        )));
    }
    let mut command = Command::new("ipmitool");
    // Without -C it asks for the cipher suites first; BMCs that do not answer cost 10 s.
    // And only -v tells a refused password from silence.
    command.args(["-v", "-I", "lanplus", "-C", "3", "-N", FIRST_ANSWER, "-R", RETRIES]);
    command.arg("-H").arg(&bmc.address).arg("-U").arg(&bmc.user);
    command.arg("-f").arg(&bmc.password_file);
    if let Some(port) = bmc.port {
        command.arg("-p").arg(port.to_string());
    }
    command.args(["chassis", "power", verb]);
    match process::run(command, deadline).await {
        Err(error) => Err(PowerError::Refused(format!("cannot run ipmitool: {error}"))),
        Ok(None) => Err(silent()),
        Ok(Some(ended)) if ended.status == 0 => Ok(ended.stdout),
        Ok(Some(ended)) => match ended.stderr {
            said if is_credentials(&said) => {
                Err(PowerError::Credentials { address: bmc.place(), user: bmc.user.clone() })
            }
            said if said.contains("Unable to establish IPMI v2") => Err(silent()),
            said => Err(refused(bmc, &said)),
        },
    }
}

/// Whether a message of `ipmitool` is about the user or the password. (A BMC that
/// falls silent later makes it say that no session was established, no more.)
fn is_credentials(said: &str) -> bool {
    ["RAKP 2 HMAC is invalid", "unauthorized name", "RAKP 4 message", "Invalid user name"]
        .iter()
        .any(|part| said.contains(part))
}

fn refused(bmc: &Bmc, said: &str) -> PowerError {
    let line = said.lines().last().unwrap_or("no message");
    PowerError::Refused(format!("the BMC at {} said: {line}", bmc.place()))
}

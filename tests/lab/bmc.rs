//! The BMCs of a lab move its machines, and a lab leaves nothing behind.

use super::guest::TestLab;
use serde_json::Value;
use std::process::{Command, Output};

/// `kill -9`.
fn kill(pid: i64) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn runs(pid: i64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn pid(status: &Value) -> i64 {
    status["nodes"][0]["pid"].as_i64().unwrap_or_else(|| panic!("{status:#}"))
}

fn is_on(status: &Value) -> bool {
    status["nodes"][0]["on"] == true && status["nodes"][0]["pid"].is_number()
}

fn is_off(status: &Value) -> bool {
    status["nodes"][0]["on"] == false && status["nodes"][0]["pid"].is_null()
}

fn ipmi(lab: &TestLab, password: &str, words: &[&str]) -> Output {
    let mut all = vec!["exec", "ipmitool", "-I", "lanplus", "-C", "3", "-H", "10.91.1.11"];
    all.extend(["-U", "admin", "-P", password]);
    all.extend(words);
    lab.try_lab(&all)
}

fn ipmi_ok(lab: &TestLab, words: &[&str]) -> String {
    let output = ipmi(lab, &lab.password(), words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The code of the answer, and the answer.
fn redfish(
    lab: &TestLab,
    password: &str,
    path: &str,
    body: Option<(&str, &str)>,
) -> (String, Value) {
    let user = format!("admin:{password}");
    let url = format!("http://10.92.1.11:8000/redfish/v1/Systems{path}");
    let mut all = vec!["exec", "curl", "-s", "-m", "60", "-w", "\n%{http_code}", "-u", &user, &url];
    if let Some((method, body)) = body {
        all.extend(["-X", method, "-H", "Content-Type: application/json", "-d", body]);
    }
    let text = lab.lab(&all);
    let (body, code) = text.rsplit_once('\n').unwrap();
    (code.into(), serde_json::from_str(body).unwrap_or(Value::Null))
}

fn assert_gone(lab: &TestLab, processes: &[i64]) {
    let left: Vec<_> = processes.iter().filter(|pid| runs(**pid)).collect();
    assert!(left.is_empty(), "still running: {left:?}");
    let namespaces = Command::new("ip").args(["netns", "list"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&namespaces.stdout).contains(lab.name()));
    assert!(!lab.state().exists());
    assert!(!std::path::Path::new("/etc/netns").join(lab.name()).exists());
}

#[test]
fn ipmi_moves_the_machine() {
    let lab = TestLab::new("ipmi");
    lab.lab(&["up", "-n", "1", "--memory", "256", "--disk", "1G", "--subnet", "10.91"]);
    assert!(ipmi_ok(&lab, &["chassis", "power", "status"]).contains("is off"));
    assert!(!ipmi(&lab, "wrong", &["chassis", "power", "on"]).status.success());
    assert!(is_off(&lab.status()), "a wrong password must not move it");

    ipmi_ok(&lab, &["chassis", "power", "on"]);
    let first = pid(&lab.until("power on", is_on));
    assert!(ipmi_ok(&lab, &["chassis", "power", "status"]).contains("is on"));
    ipmi_ok(&lab, &["chassis", "bootdev", "disk"]);
    assert_eq!(lab.status()["nodes"][0]["boot"], "disk");
    ipmi_ok(&lab, &["chassis", "power", "reset"]);
    let status = lab.until("reset", |status| is_on(status) && pid(status) != first);
    assert_eq!(
        (&status["nodes"][0]["boot"], &status["nodes"][0]["starts"]),
        (&Value::Null, &2.into())
    );
    assert!(!runs(first));
    assert!(lab.state().join("nodes/node-1/console.log.1").exists());

    // A machine that dies is off; it can be switched on again.
    kill(pid(&status));
    lab.until("death seen", is_off);
    ipmi_ok(&lab, &["chassis", "power", "on"]);
    let running = pid(&lab.until("power on again", is_on));
    ipmi_ok(&lab, &["chassis", "power", "off"]);
    lab.until("power off", is_off);
    assert!(!runs(running));
}

#[test]
fn redfish_moves_the_machine() {
    let lab = TestLab::new("redfish");
    let words = ["up", "-n", "1", "--redfish", "1", "--memory", "256", "--disk", "1G"];
    lab.lab(&[&words[..], &["--subnet", "10.92"]].concat());
    let password = lab.password();
    assert_eq!(redfish(&lab, "wrong", "", None).0, "401");
    let (code, systems) = redfish(&lab, &password, "", None);
    assert_eq!((code.as_str(), &systems["Members@odata.count"]), ("200", &1.into()));
    let system = systems["Members"][0]["@odata.id"].as_str().unwrap();
    let path = system.strip_prefix("/redfish/v1/Systems").unwrap();
    let reset = format!("{path}/Actions/ComputerSystem.Reset");
    let act = |kind: &str| {
        let body = format!("{{\"ResetType\":\"{kind}\"}}");
        redfish(&lab, &password, &reset, Some(("POST", &body))).0
    };
    let state = || redfish(&lab, &password, path, None).1["PowerState"].clone();

    assert_eq!(state(), "Off");
    let body = "{\"ResetType\":\"On\"}";
    assert_eq!(redfish(&lab, "wrong", &reset, Some(("POST", body))).0, "401");
    assert!(is_off(&lab.status()), "a wrong password must not move it");
    assert_eq!(act("ForceRestart"), "409", "there is nothing to restart");
    assert_eq!(act("On"), "204");
    let first = pid(&lab.until("power on", is_on));
    assert_eq!(state(), "On");
    let boot = r#"{"Boot":{"BootSourceOverrideTarget":"Hdd","BootSourceOverrideEnabled":"Once"}}"#;
    redfish(&lab, &password, path, Some(("PATCH", boot)));
    assert_eq!(lab.status()["nodes"][0]["boot"], "disk");
    assert_eq!(act("ForceRestart"), "204");
    lab.until("reset", |status| is_on(status) && pid(status) != first);
    assert_eq!(act("ForceOff"), "204");
    lab.until("power off", is_off);
    assert_eq!(state(), "Off");
}

#[test]
fn a_lab_leaves_nothing_behind() {
    let lab = TestLab::new("leaves");
    assert!(lab.try_lab(&["down"]).status.success(), "there is nothing to take down");
    let up = ["up", "-n", "1", "--memory", "256", "--disk", "1G", "--subnet", "10.93"];
    lab.lab(&up);
    lab.lab(&["power", "1", "on"]);
    let node = pid(&lab.until("power on", is_on));
    let bmc = |status: &Value| {
        let all = status["services"].as_array().unwrap().clone();
        all.into_iter().find(|service| service["name"] == "ipmi-node-1").unwrap()["pid"].as_i64()
    };
    let first_bmc = bmc(&lab.status()).unwrap();
    kill(first_bmc);
    lab.until("the BMC comes back", |status| bmc(status).is_some_and(|pid| pid != first_bmc));

    // Without its keeper the lab is found by its namespace.
    let keeper = std::fs::read_to_string(lab.state().join("keeper.json")).unwrap();
    let keeper = serde_json::from_str::<Value>(&keeper).unwrap()["pid"].as_i64().unwrap();
    kill(keeper);
    let all: Vec<i64> = lab.pids().into_iter().map(i64::from).collect();
    assert!(all.contains(&node), "{all:?}");
    let silent = lab.try_lab(&["status"]);
    assert!(String::from_utf8_lossy(&silent.stderr).contains("kadence lab up"), "{silent:?}");
    lab.lab(&up);
    assert!(all.iter().all(|pid| !runs(*pid)), "{all:?}");
    assert!(is_off(&lab.status()));

    lab.lab(&["power", "1", "on"]);
    let all: Vec<i64> = lab.pids().into_iter().map(i64::from).collect();
    assert!(all.len() >= 4, "keeper, router, BMC and node: {all:?}");
    std::fs::remove_file(lab.state().join("keeper.json")).unwrap();
    std::fs::remove_file(lab.state().join("lab.json")).unwrap();
    lab.lab(&["down"]);
    assert_gone(&lab, &all);
    lab.lab(&["down"]);
}

//! What every program can do.

use super::{
    programs::{Place, Ran},
    stub::{Answer, Stub},
};
use kadence::kadeploy::Program;
use serde_json::json;

fn begun() -> (Stub, Place) {
    let stub = Stub::new(&["node-1.testbed.lan"]);
    let place = Place::new(&[("main", stub.port)]);
    (stub, place)
}

#[test]
fn the_version_is_that_of_the_server_or_of_the_environment() {
    let (stub, place) = begun();
    for program in Program::ALL {
        let ran = place.run(&format!("{} -v", program.name())).ended(0);
        assert_eq!(ran.out, "Kadeploy version: 3.3.11.stable\n");
    }
    let asked = stub.lines().len();
    let mut command = place.command("kadeploy3 --version");
    let ran = Ran::of(command.env("KADEPLOY3_VERSION", "3.9").output().unwrap()).ended(0);
    assert_eq!(ran.out, "Kadeploy version: 3.9\n");
    assert_eq!(stub.lines().len(), asked);
}

#[test]
fn help_is_as_wide_as_it_may_be() {
    let (stub, place) = begun();
    for program in Program::ALL {
        for columns in [60, 120] {
            let mut command = place.command(&format!("{} -h --zz", program.name()));
            let output = command.env("COLUMNS", columns.to_string()).output().unwrap();
            let out = Ran::of(output).ended(0).out;
            assert!(out.starts_with(&format!("Usage: {} [options]\n", program.name())), "{out}");
            assert!(out.contains("kadeploy3-users@lists.gforge.inria.fr"), "{out}");
            assert!(out.contains("-S, --server STRING"), "{out}");
            let texts = out.lines().filter(|line| line.starts_with(&" ".repeat(37)));
            // A word is never broken.
            let fits = |line: &str| line.len() <= columns || !line.trim().contains(' ');
            assert!(texts.clone().all(fits), "{out}");
        }
    }
    assert!(stub.lines().is_empty());
}

#[test]
fn the_server_says_what_it_offers() {
    let (stub, place) = begun();
    let instance = json!({"name": "Untrusted", "retries": 1, "timeout": 500});
    stub.gives(
        "GET /info",
        Answer::json(&json!({
            "pxe": "PXElinux", "automata": {"alpha": {"SetDeploymentEnv": [instance]}},
            "supported_fs": {"alpha": ["ext3", "ext4"]},
            "vars": ["KADEPLOY_BLOCK_DEVICE", "KADEPLOY_CLUSTER", "KADEPLOY_DEPLOY_PART"],
        })),
    );
    let mut command = place.command("kadeploy3 -I");
    let ran = Ran::of(command.env("COLUMNS", "50").output().unwrap()).ended(0);
    let text = "Custom PXE boot method: PXElinux
Automata configuration:
  alpha:
    SetDeploymentEnv: Untrusted,1,500
Supported file systems:
  alpha: ext3, ext4
Variables exported to custom scripts:
  KADEPLOY_BLOCK_DEVICE KADEPLOY_CLUSTER
  KADEPLOY_DEPLOY_PART
";
    assert_eq!(ran.out, text);
}

#[test]
fn a_user_is_known_by_his_environment_and_his_account() {
    let account = std::process::Command::new("id").arg("-nu").output().unwrap();
    let account = String::from_utf8(account.stdout).unwrap().trim().to_owned();
    for (user, username, expected) in
        [(Some("bert"), Some("carl"), "bert"), (None, Some("carl"), "carl"), (None, None, &account)]
    {
        let (stub, place) = begun();
        stub.gives(&format!("GET /nodes?user={expected}&list=true"), Answer::json(&json!(["n"])));
        stub.gives("PUT /power/", Answer::text("\n"));
        let mut command = place.command("kapower3 --on -m n --dry-run");
        for (name, value) in [("USER", user), ("USERNAME", username), ("LOGNAME", None)] {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Ran::of(command.output().unwrap()).ended(0);
        assert_eq!(stub.request("PUT /power/").header("X-Kadeploy-User"), Some(expected));
    }
}

#[test]
fn a_password_goes_with_every_request_that_is_somebodys() {
    let (stub, place) = begun();
    stub.gives("PUT /power/", Answer::text("\n"));
    place.run("kapower3 --on -m node-1 --dry-run --password secret").ended(0);
    for what in ["GET /nodes?user=anna&list=true", "PUT /power/"] {
        let basic = stub.request(what).header("Authorization").map(str::to_owned);
        assert_eq!(basic.as_deref(), Some("Basic YW5uYTpzZWNyZXQ="), "{what}");
    }
    assert_eq!(stub.request("GET /version").header("Authorization"), None);
}

#[test]
fn the_prefix_of_the_configuration_is_not_asked_for() {
    let (stub, place) = begun();
    stub.gives("PUT /power/", Answer::text("\n"));
    let text = place.read("client.conf").replace('}', ", auth_headers_prefix: X-Lab-}");
    place.write("client.conf", &text);
    place.run("kapower3 --off -m node-1 --dry-run").ended(0);
    assert!(!stub.lines().contains(&"GET /auth_headers_prefix".to_owned()));
    assert_eq!(stub.request("PUT /power/").header("X-Lab-User"), Some("anna"));
}

#[test]
fn a_server_is_chosen_by_its_name() {
    let (stub, _) = begun();
    let place = Place::new(&[("down", 1), ("up", stub.port)]);
    place.run("kapower3 -v").told(1, "The down server is unreachable");
    assert_eq!(place.run("kapower3 -v -S up").ended(0).out, "Kadeploy version: 3.3.11.stable\n");
    let told = "The server 'x' is not defined in client.conf";
    place.run("kapower3 -v --server x").told(1, told);
}

#[test]
fn a_configuration_with_a_mistake_is_told_with_its_place() {
    let (_, place) = begun();
    place.write("client.conf", "default: x\nservers: [{name: a, hostname: b, port: c}]\n");
    let ran = place.run("kapower3 -v").ended(1);
    assert!(ran.err.contains("client.conf:2"), "{}", ran.err);
    // Its old name is read as well.
    let (stub, place) = begun();
    std::fs::rename(place.path("client.conf"), place.path("client_conf.yml")).unwrap();
    place.run("kapower3 -v").ended(0);
    stub.request("GET /version");
}

#[test]
fn a_list_without_nodes_does_not_mean_all_of_them() {
    let (stub, place) = begun();
    place.write("none", "# nobody\n\n   \n");
    for words in [
        "kadeploy3 -e deb",
        "kareboot3",
        "kapower3 --on",
        "kapower3 --status",
        "kanodes3 -s",
        "kastat3 -a",
        "karights3 -a -u bert",
        "karights3 -d -u bert",
    ] {
        place.run(&format!("{words} -f none")).told(1, "No node is chosen");
    }
    // What every program asks for first, and no more.
    let first = ["GET /version", "GET /auth_headers_prefix"];
    assert!(stub.lines().iter().all(|line| first.contains(&line.as_str())), "{:#?}", stub.lines());
}

//! Nothing that is written makes the reader panic, and slips are guessed right.

use crate::site::Site;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Keys of `server.conf` that lie far from one another.
const KEYS: [&str; 6] =
    ["network", "verbosity", "environments", "autoclean_threshold", "external", "netboot"];

/// Keys of all files that hold sections, lists and values.
const NESTED: [&str; 30] = [
    "pxe",
    "dhcp",
    "repository",
    "userfiles",
    "netboot",
    "clusters",
    "name",
    "nodes",
    "address",
    "mac",
    "bmc",
    "boot",
    "kernels",
    "deploy",
    "remoteops",
    "reboot",
    "cmd",
    "automata",
    "macrosteps",
    "SetDeploymentEnv",
    "type",
    "microsteps",
    "pre-ops",
    "timeouts",
    "partitioning",
    "partitions",
    "authentication",
    "ident",
    "passwd",
    "x",
];

/// A YAML value in flow form, with keys that exist among those that do not.
fn tree() -> impl Strategy<Value = String> {
    let words = ["true", "~", "0.5", "off", "/dev/sda", "Dummy", "n-[1-3]", "10.0.0.[1-3]"];
    let leaf = prop_oneof![
        r"[a-z0-9/.:\[\]{}&*,'-]{0,12}".prop_map(|text| format!("{text:?}")),
        any::<i64>().prop_map(|n| n.to_string()),
        prop::sample::select(words.to_vec()).prop_map(|word| format!("{word:?}")),
        prop::sample::select(words[..4].to_vec()).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4);
        let map = prop::collection::btree_map(prop::sample::select(NESTED.to_vec()), inner, 0..6);
        prop_oneof![
            list.prop_map(|items| format!("[{}]", items.join(", "))),
            map.prop_map(flow_map)
        ]
    })
}

fn flow_map(map: BTreeMap<&str, String>) -> String {
    let entries: Vec<_> = map.into_iter().map(|(key, value)| format!("{key}: {value}")).collect();
    format!("{{{}}}", entries.join(", "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn trees_do_not_panic(text in tree(), file in prop::sample::select(vec!["server.conf", "clusters.conf", "alpha-cluster.conf", "command.conf"])) {
        let site = Site::new();
        site.write(file, &text);
        if let Err(mistakes) = site.load() {
            prop_assert!(!mistakes.all.is_empty());
            prop_assert!(mistakes.to_string().contains("expected:"));
        }
    }

    #[test]
    fn texts_do_not_panic(text in any::<String>()) {
        let site = Site::new();
        site.write("server.conf", &text);
        prop_assert!(site.load().is_err());
    }

    #[test]
    fn slips_are_guessed(key in prop::sample::select(KEYS.to_vec()), at in any::<prop::sample::Index>(), kind in 0..3) {
        let mut typo: Vec<char> = key.chars().collect();
        let at = at.index(typo.len() - 1);
        match kind {
            0 => drop(typo.remove(at)),
            1 => typo.swap(at, at + 1),
            _ => typo.insert(at, 'z'),
        }
        let typo: String = typo.into_iter().collect();
        prop_assume!(typo != key);
        let site = Site::new();
        let text = std::fs::read_to_string(site.path("etc/server.conf")).unwrap();
        site.write("server.conf", &format!("{text}{typo}: {{}}\n"));
        let hint = format!("{typo}: unknown key, ignored, did you mean `{key}`?");
        let notices = site.notices("server.conf");
        prop_assert!(notices.iter().any(|notice| notice.ends_with(&hint)), "{notices:?}");
    }
}

//! The documentation of the keys.

use std::{fs, path::Path};

/// `docs/configuration.md` is what the declarations say; `UPDATE=1` rewrites it.
#[test]
fn the_guide_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let wanted = config::documentation();
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &wanted).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == wanted, "docs/configuration.md is not current: run with UPDATE=1");
}

#[test]
fn a_key_is_explained_by_its_path() {
    let doc = config::explain("network/ports/ssh").unwrap();
    assert_eq!(
        (doc.file, doc.kind.as_str(), doc.default.as_deref()),
        ("server.conf", "Integer", Some("22"))
    );
    assert!(doc.reloadable && doc.effect.is_empty());
    let doc = config::explain("clusters/3/nodes/0/bmc/driver").unwrap();
    assert_eq!((doc.path.as_str(), doc.default), ("clusters/*/nodes/*/bmc/driver", None));
    assert_eq!(config::explain("pxe/dhcp/method").unwrap().file, "server.conf");
    assert_eq!(config::explain("cluster file:pxe/headers").unwrap().file, "cluster file");
    assert_eq!(
        config::explain("database/passwd").unwrap().effect,
        "replaced by the embedded store"
    );
    assert_eq!(config::explain("cache/size").map(|doc| doc.reloadable), Some(false));
    assert_eq!(config::explain("network/prts/ssh"), None);
}

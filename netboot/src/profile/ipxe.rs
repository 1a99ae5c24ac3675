//! iPXE.

use super::{Boot, Factory, words};
use crate::Firmware;

pub(super) fn render(factory: &Factory, boot: &Boot, header: &str) -> String {
    let body = match boot {
        Boot::Network { kernel, initrd, params } => {
            network(factory, kernel, initrd.as_deref(), params)
        }
        // Firmware goes on to the disk only after a failure; after `exit` it opens its menu.
        Boot::Local(_) if factory.firmware == Firmware::Uefi => "exit 1".to_owned(),
        Boot::Local(local) => {
            let chain = factory.exported(&local.chain);
            format!("chain {chain} hd{} {}", local.disk, local.partition)
        }
        Boot::Chain(binary) => format!("chain {}", factory.exported(binary)),
        Boot::Custom(text) => return text.clone(),
    };
    format!("#!ipxe\n{header}{body}")
}

fn network(factory: &Factory, kernel: &str, initrd: Option<&str>, params: &str) -> String {
    let mut named = String::new();
    let mut lines = String::new();
    if let Some(path) = initrd {
        lines = format!("initrd {}\n", factory.exported(path));
        // A kernel started by UEFI finds its ramdisk by this name only.
        if factory.firmware == Firmware::Uefi {
            named = format!("initrd={}", path.rsplit('/').next().unwrap_or(path));
        }
    }
    lines + &words(&["chain", &factory.exported(kernel), &named, params])
}

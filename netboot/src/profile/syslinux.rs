//! PXELINUX and gPXELINUX, which read the same language.

use super::{Boot, Factory, words};

pub(super) fn render(factory: &Factory, boot: &Boot, header: &str) -> String {
    let entry = |label: &str, load: &str, program: &str, append: &str| {
        let program = factory.exported(program);
        format!("{header}DEFAULT {label}\nLABEL {label}\n\t{load} {program}\n\tAPPEND {append}")
    };
    match boot {
        Boot::Network { kernel, initrd, params } => {
            let initrd = initrd.as_ref().map(|path| format!("initrd={}", factory.exported(path)));
            entry("network", "KERNEL", kernel, &words(&[initrd.as_deref().unwrap_or(""), params]))
        }
        Boot::Local(local) => {
            let append = format!("hd{} {}", local.disk, local.partition);
            entry("local", "COM32", &local.chain, &append)
        }
        Boot::Chain(binary) => entry("chain", "KERNEL", binary, "keeppxe"),
        Boot::Custom(text) => text.clone(),
    }
}

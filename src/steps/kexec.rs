//! `kexec`: from the deployment system straight into the installed kernel.

use super::{
    Run,
    disk::no_target,
    gather::each,
    image::INSIDE,
    power::leave,
    variables::{self, quote},
};
use automata::{Context, NodeSet, Outcome};

/// Loads the installed kernel and jumps into it.
pub(super) async fn kexec(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let Some(target) = &run.target else { return no_target(nodes) };
    let boot = &target.environment.boot;
    let mut params = variables::kernel_params(run);
    if !params.contains("root=") {
        params = format!("root={} {params}", target.partition);
    }
    let root = quote(&run.settings.extraction_dir);
    let (kernel, initrd, params) = (quote(&boot.kernel), quote(&boot.initrd), quote(params.trim()));
    // The order is detached, so that ssh can end before the machine leaves.
    let text = format!(
        "{INSIDE}
k=$(inside {root} {kernel}) || {{ echo kernel not found: \"$k\" >&2; exit 1; }}
set -- -l \"$k\" --append={params}
if [ -n {initrd} ]; then
  i=$(inside {root} {initrd}) || {{ echo initrd not found: \"$i\" >&2; exit 1; }}
  set -- \"$@\" --initrd=\"$i\"
fi
/sbin/kexec \"$@\" || exit
umount {root} || umount -l {root}; sync
nohup sh -c 'sleep 0.2; /sbin/kexec -e || /sbin/reboot' >/dev/null 2>&1 </dev/null &"
    );
    let text = &text;
    each(nodes, cx, |id| leave(run, cx, id, text)).await
}

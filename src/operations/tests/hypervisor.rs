//! Systems that a hypervisor boots.

use super::*;
use config::model::Method;

#[tokio::test(start_paused = true)]
async fn an_image_with_a_hypervisor_is_booted_through_it() {
    let scenario = Scenario { method: Some(Method::GrubPxe), ..Scenario::new(31, 3) };
    let bed = Bed::new(&scenario).await;
    let boot = json!({
        "hypervisor": "/xen.gz", "hypervisor_params": "dom0_mem=1G", "kernel": "/vmlinuz",
        "initrd": "/initrd.img",
    });
    let environment = bed.environment(json!({"os": "xen", "boot": boot}));
    // GRUB of the network loads it itself, but for the second, which boots by UEFI.
    let nodes = [NODES[0], NODES[2]];
    let body = json!({"nodes": nodes, "environment": environment, "verbose_level": 5});
    let wid = bed.deploy(body).await;
    assert_eq!(bed.ended(&wid).await.0, nodes, "{}", bed.log(&wid));
    assert!(nodes.iter().all(|node| bed.runs_the_image(node)));
    // Others boot it by what is on their disks.
    let body = json!({"environment": environment, "verbose_level": 5});
    let wid = bed.deploy(body).await;
    assert_eq!(bed.ended(&wid).await.0, NODES, "{}", bed.log(&wid));
    assert!(NODES.iter().all(|node| bed.runs_the_image(node)));
    // It cannot be started from a running kernel.
    let log = bed.log(&wid);
    assert!(log.contains("Performing a Deploy[BootNewEnvClassical] step"), "{log}");
    assert!(!log.contains("BootNewEnvKexec"), "{log}");
}

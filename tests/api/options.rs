//! The other fields of a request: wrong types, unknown steps, impossible combinations.

use crate::common::Service;
use serde_json::json;

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, or one table")]
async fn options_that_cannot_be_are_refused_and_nothing_changes() {
    let service = Service::new();
    let anna = service.user("anna");
    let before = anna.everything().await;
    let dd = json!({"file": service.image(), "kind": "dd", "compression": "gzip"});
    let dd = service.anonymous(json!({"image": dd}));
    let cases = [
        (
            4,
            json!({"breakpoint": "SetDeploymentEnvMagic"}),
            "Invalid macrostep name 'SetDeploymentEnvMagic'",
            "SetDeploymentEnvDummy",
        ),
        (
            4,
            json!({"breakpoint": "SetDeploymentEnv:magic"}),
            "Invalid microstep name 'magic'",
            "Macro:micro",
        ),
        (
            4,
            json!({"breakpoint": "SetDeploymentEnvUntrusted"}),
            "'SetDeploymentEnvUntrusted' is not used",
            "step",
        ),
        (
            4,
            json!({"breakpoint": "SetDeploymentEnvUntrusted", "dry_run": true}),
            "'SetDeploymentEnvUntrusted' is not used",
            "step",
        ),
        (4, json!({"breakpoint": 7}), "Parameter 'breakpoint'", "should be a String"),
        (4, json!({"verbose_level": 9}), "Parameter 'verbose_level'", "1..5"),
        (4, json!({"verbose_level": "x"}), "Parameter 'verbose_level'", "should be a Integer"),
        (4, json!({"force": "perhaps"}), "Parameter 'force'", "should be a Boolean"),
        (
            4,
            json!({"boot_partition": -1}),
            "Parameter 'boot_partition'",
            "must be in the range 0..4294967295",
        ),
        (
            4,
            json!({"deploy_partition": "3; reboot"}),
            "'3; reboot' is not the number of a partition, its label, or DISK/LABEL",
            "deploy_partition",
        ),
        (4, json!({"block_device": "disk"}), "'disk' is not the path of a disk", "disk0"),
        (4, json!({"deploy_partition": 3}), "Parameter 'deploy_partition'", "should be a String"),
        (
            4,
            json!({"block_device": "sda; reboot"}),
            "'sda; reboot' is not the path of a disk",
            "/dev/sda",
        ),
        (
            4,
            json!({"block_device": "/dev/sdb -x", "deploy_partition": "1"}),
            "not the path of a disk",
            "/dev/sda",
        ),
        (
            4,
            json!({"timeout_reboot_classical": "soon"}),
            "'soon', character 1: 'soon' is unknown",
            "timeout_reboot_classical",
        ),
        (
            4,
            json!({"timeout_reboot_kexec": "60 / (n - 1)"}),
            "character 4: division by zero",
            "kexec",
        ),
        (
            4,
            json!({"automata": {"SetDeploymentEnv": []}}),
            "Parameter 'automata': The field is mandatory [field: BroadcastEnv]",
            "automata",
        ),
        (
            4,
            json!({"automata": {"SetDeploymentEnv": [{"name": "Magic"}], "BroadcastEnv": [], "BootNewEnv": []}}),
            "Unknown macrostep name 'Magic'",
            "automata",
        ),
        (
            4,
            json!({"automata": {"SetDeploymentEnv": [{"name": "Dummy"}], "BroadcastEnv": [{"name": "Dummy"}],
                "BootNewEnv": [{"name": "PivotRoot"}]}}),
            "PivotRoot is not supported",
            "without its own kernel",
        ),
        (
            4,
            json!({"automata": {"SetDeploymentMiniOS": [{"name": "Nfsroot"}], "BroadcastEnv": [{"name": "Dummy"}],
                "BootNewEnv": [{"name": "Dummy"}]}}),
            "SetDeploymentEnvNfsroot needs boot/kernels/nfsroot/vmlinuz",
            "cluster alpha",
        ),
        (9, json!({"vlan": "7"}), "Invalid VLAN -- this site moves no nodes", "set_cmd"),
        (
            8,
            json!({"custom_operations": {"SetDeploymentEnvDummy": {"dummy": {"pre-ops": [{"action": "exec"}]}}}}),
            "Parameter 'custom_operations': SetDeploymentEnvDummy/dummy, The field is mandatory [field: pre-ops/0/name]",
            "custom",
        ),
        (12, json!({"pxe": {"singularities": {}}}), "Parameter 'pxe/profile': mandatory", "pxe"),
        (
            2,
            json!({"pxe": {"profile": "x", "singularities": {"zz": "1"}}}),
            "The node 'zz' does not exist",
            "zz",
        ),
        (
            5,
            json!({"pxe": {"profile": "x", "files": ["/a b"]}}),
            "'a b' of anna cannot be the name",
            "names",
        ),
        (
            7,
            json!({"environment": service.anonymous(json!({"arch": "aarch64"}))}),
            "is for aarch64, the cluster alpha runs x86_64",
            "debian",
        ),
        (13, json!({"reformat_tmp_partition": "zfs"}), "'zfs' is not supported", "ext2, ext4"),
        (13, json!({"block_device": "/dev/sdb"}), "Only a 'dd' image", "deploy_partition"),
        (
            13,
            json!({"block_device": "/dev/sdb", "deploy_partition": ""}),
            "Only a 'dd' image",
            "deploy_partition",
        ),
        (
            12,
            json!({"block_device": "/dev/sdb", "environment": dd}),
            "You must specify the partition to boot on",
            "boot_partition",
        ),
    ];
    for (number, changes, what, way_out) in cases {
        let mut body = json!({"nodes": ["node-1"], "environment": service.anonymous(json!({}))});
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        anna.post("/deployment", &body).await.refused_with(number, &[what, way_out]);
    }
    let reboot = |kind| json!({"nodes": ["node-1"], "kind": kind});
    let missing = anna.post("/reboot", &json!({"nodes": ["node-1"]})).await;
    missing.refused_with(12, &["Parameter 'kind': mandatory", "deploy_env or recorded_env"]);
    anna.post("/reboot", &reboot("hop"))
        .await
        .refused_with(4, &["Parameter 'kind'", "must have a value in (simple,", "deploy_env"]);
    anna.post("/reboot", &reboot("set_pxe"))
        .await
        .refused_with(12, &["Parameter 'pxe'", "You must specify a PXE profile"]);
    let recorded = json!({"nodes": ["node-1"], "kind": "recorded_env", "deploy_partition": "3"});
    let missing = anna.post("/reboot", &recorded).await;
    missing.refused_with(12, &["You must specify a recorded environment"]);
    let power = |status, level| json!({"nodes": ["node-1"], "status": status, "level": level});
    anna.put("/power", &power("up", "soft"))
        .await
        .refused_with(4, &["'status'", "(on,off,status)"]);
    anna.put("/power", &power("on", "gentle"))
        .await
        .refused_with(4, &["'level'", "must have a value in (soft,", "very_hard"]);
    anna.put("/power", &json!({"nodes": ["node-1"]}))
        .await
        .refused_with(12, &["'status': mandatory"]);
    assert_eq!(anna.everything().await, before);
}

#[tokio::test]
async fn a_toggle_of_the_query_is_set_by_being_there() {
    let service = Service::new();
    let anna = service.user("anna");
    for query in ["list", "list=true", "list=false"] {
        let names = anna.get(&format!("/nodes?user=anna&{query}")).await.ok().json();
        assert_eq!(names[0], "beta-1.lab.test", "{query}");
    }
    assert!(anna.get("/nodes").await.ok().json().is_object());
    let both = anna.get("/nodes?list&nodes=node-2&nodes=node-1").await.ok().json();
    assert_eq!(both, json!(["node-1.lab.test", "node-2.lab.test"]));
    // The query wins over the body, in which false means false.
    let body = json!({"nodes": ["node-1"], "status": "on", "dry_run": false});
    assert_eq!(anna.put("/power?dry_run=false", &body).await.ok().text, "\n");
    anna.put("/power?status=up", &body).await.refused_with(4, &["'status'"]);
    assert_eq!(anna.get("/power?").await.ok().json(), json!([]));
}

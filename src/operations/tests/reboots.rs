//! Reboots of every kind.

use super::*;
use crate::{
    store::{Change, EnvironmentRecord, NodeState},
    types::RebootRequest,
};
use config::model::partitioning::Part;

async fn reboot(bed: &Bed<'_>, body: Value) -> Result<String, Problem> {
    let mut all = json!({"nodes": ["node-[1-3].sim"], "verbose_level": 5});
    let Value::Object(body) = body else { panic!("{body}") };
    all.as_object_mut().unwrap().extend(body);
    let request: RebootRequest = serde_json::from_value(all).unwrap();
    let asked = Asked { request: Request::Reboot(Box::new(request)), user: "anna".into() };
    bed.operations.create(asked).await.map(|created| created.unwrap().wid)
}

/// The nodes that are well at its end.
async fn ended(bed: &Bed<'_>, wid: &str) -> usize {
    loop {
        let poll = bed.operations.poll(Kind::Reboot, wid, &anna()).unwrap();
        if poll.done {
            let lists = serde_json::to_value(poll.nodes).unwrap();
            return lists["ok"].as_array().map_or(0, Vec::len);
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// Records what `description` says as anna's `name`.
async fn record(bed: &Bed<'_>, name: &str, destructive: bool) {
    let mut description = bed.environment(json!({"destructive": destructive}));
    let fields = description.as_object_mut().unwrap();
    for field in ["kind", "name", "version"] {
        fields.remove(field);
    }
    let store = &bed.operations.means().store;
    let record = EnvironmentRecord {
        id: store.new_environment_id(),
        user: "anna".into(),
        name: name.into(),
        version: 1,
        description,
        checksums: BTreeMap::new(),
    };
    store.commit(Change::new().add_environment(record)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_profile_of_the_users_own_with_files_and_singularities() {
    let scenario = Scenario::new(21, 3);
    let bed = Bed::with(&scenario, |config| {
        let userfiles =
            std::env::temp_dir().join(format!("kadence-userfiles-{}", std::process::id()));
        fs::create_dir_all(&userfiles).unwrap();
        config.server.pxe.userfiles.directory = userfiles.display().to_string();
    })
    .await;
    let kernel = bed.dir.path().join("vmlinuz-own");
    fs::write(&kernel, "a kernel").unwrap();
    let profile = "#!ipxe\n# FILES_PREFIX--vmlinuz-own NODE_SINGULARITY\nexit\n";
    let pxe = json!({"profile": profile, "singularities": {"node-1": "one"},
        "files": [format!("server://{}", kernel.display())]});
    let wid = reboot(&bed, json!({"kind": "set_pxe", "pxe": pxe})).await.unwrap();
    assert_eq!(ended(&bed, &wid).await, 3);
    let userfiles = &bed.stage.site.config.server.pxe.userfiles.directory;
    let kept = std::path::Path::new(userfiles).join("pxe-anna--vmlinuz-own");
    assert_eq!(fs::read_to_string(&kept).unwrap(), "a kernel");
    fs::remove_dir_all(userfiles).unwrap();
    let plans = bed.operations.means().store.operation(&wid).await.unwrap().unwrap().request;
    let own = &plans["orders"][0]["settings"]["profile"];
    assert_eq!(own["singularities"]["node-1.sim"], "one", "{own}");
    let refused = reboot(&bed, json!({"kind": "set_pxe"})).await.unwrap_err();
    assert!(refused.to_string().starts_with("Some options are missing"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn back_into_what_is_recorded_unless_it_must_not_be_booted_again() {
    let scenario = Scenario::new(22, 3);
    let bed = Bed::new(&scenario).await;
    record(&bed, "kept", false).await;
    record(&bed, "once", true).await;
    let choice = |name: &str| json!({"user": "anna", "name": name, "version": 1});
    let wanted = |name: &str| {
        json!({"kind": "recorded_env", "environment": choice(name), "deploy_partition": "3",
        "check_destructive": true})
    };
    for (name, refused) in [("kept", false), ("once", true)] {
        let mut environment = choice(name);
        environment["kind"] = "database".into();
        let wid = bed.deploy(json!({"environment": environment})).await;
        assert_eq!(bed.ended(&wid).await.0, NODES, "{}", bed.log(&wid));
        match reboot(&bed, wanted("kept")).await {
            Ok(wid) => {
                assert!(!refused);
                assert_eq!(ended(&bed, &wid).await, 3);
                let node = bed.record(NODES[0]).await;
                assert_eq!(node.state, NodeState::RecordedEnv);
                assert_eq!(node.environment.unwrap().name, "kept");
            }
            Err(why) => {
                assert!(refused, "{why}");
                let text = why.to_string();
                assert!(
                    text.starts_with(
                        "Cannot reboot since the last deployed environment was destructive"
                    ),
                    "{text}"
                );
                assert!(text.contains("node-[1-3].sim"), "{text}");
            }
        }
    }
    let missing =
        reboot(&bed, json!({"kind": "recorded_env", "environment": choice("kept")})).await;
    assert!(missing.unwrap_err().to_string().contains("You must specify the partition"));
}

#[tokio::test(start_paused = true)]
async fn into_what_is_recorded_by_a_profile_of_the_users_own() {
    let scenario = Scenario::new(23, 3);
    let bed = Bed::new(&scenario).await;
    record(&bed, "kept", false).await;
    // A profile that leads elsewhere shows which one was written.
    let deploy = "#!ipxe\ninitrd http://10.0.0.1/deploy/initrd.img\n\
        chain http://10.0.0.1/deploy/vmlinuz initrd=initrd.img quiet\n";
    let wanted = |profile: Option<&str>| {
        let mut body = json!({"kind": "recorded_env", "deploy_partition": "3",
            "environment": {"user": "anna", "name": "kept", "version": 1}});
        if let Some(profile) = profile {
            body["pxe"] = json!({"profile": profile});
        }
        body
    };
    let wid = bed.deploy(json!({})).await;
    assert_eq!(bed.ended(&wid).await.0, NODES, "{}", bed.log(&wid));
    for (profile, leads) in [(None, false), (Some(deploy), true)] {
        let wid = reboot(&bed, wanted(profile)).await.unwrap();
        ended(&bed, &wid).await;
        for node in NODES {
            assert_eq!(bed.stage.world.boots_deployment(node), leads, "{profile:?} {node}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_production_partition_is_that_of_the_cluster() {
    let scenario = Scenario::new(24, 3);
    for (prod, state) in [(3, NodeState::ProdEnv), (5, NodeState::RecordedEnv)] {
        let bed = Bed::with(&scenario, |config| {
            let partitions = config.clusters[0].file.partitioning.partitions.as_mut().unwrap();
            partitions.prod = Part::Number(prod);
        })
        .await;
        record(&bed, "kept", false).await;
        let choice = json!({"user": "anna", "name": "kept", "version": 1});
        let mut environment = choice.clone();
        environment["kind"] = "database".into();
        let wid = bed.deploy(json!({"environment": environment})).await;
        assert_eq!(bed.ended(&wid).await.0, NODES, "{}", bed.log(&wid));
        let wanted =
            json!({"kind": "recorded_env", "environment": choice, "deploy_partition": "3"});
        let wid = reboot(&bed, wanted).await.unwrap();
        assert_eq!(ended(&bed, &wid).await, 3);
        assert_eq!(bed.record(NODES[0]).await.state, state, "prod {prod}");
    }
}

#[tokio::test(start_paused = true)]
async fn into_the_deployment_system_with_the_users_key() {
    let scenario = Scenario::new(25, 3);
    let bed = Bed::new(&scenario).await;
    let key = format!("server://{}/image.tgz", bed.dir.path().display());
    for (changes, lets_in) in [(json!({}), false), (json!({"ssh_authorized_keys": key}), true)] {
        let mut wanted = json!({"kind": "deploy_env", "level": "hard"});
        wanted.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let wid = reboot(&bed, wanted).await.unwrap();
        assert_eq!(ended(&bed, &wid).await, 3);
        for node in NODES {
            assert_eq!(bed.stage.world.keys(node), [lets_in, false], "{node}");
            assert_eq!(bed.record(node).await.state, NodeState::DeployEnv);
        }
    }
}

//! The keys of the user.

use super::{ways::steps, *};

/// A deployment that waits before the new system is booted, with these changes.
async fn waiting(bed: &Bed<'_>, changes: Value) -> String {
    let mut wanted = steps("Untrusted", "Chain", "Classical");
    wanted["breakpoint"] = "BootNewEnv".into();
    wanted["keep"] = true.into();
    wanted.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let wid = bed.deploy(wanted).await;
    // Until all of them wait.
    sleep(Duration::from_secs(1500)).await;
    wid
}

#[tokio::test(start_paused = true)]
async fn the_users_keys_let_him_into_both_systems_where_he_gives_some() {
    let scenario = Scenario::new(31, 3);
    let bed = Bed::new(&scenario).await;
    let keys = |bed: &Bed<'_>| NODES.map(|node| bed.stage.world.keys(node));
    fs::write(bed.dir.path().join("key.pub"), "ssh-ed25519 AAAA anna\n").unwrap();
    let key = format!("server://{}/key.pub", bed.dir.path().display());
    let wid = waiting(&bed, json!({"ssh_authorized_keys": key})).await;
    assert_eq!(keys(&bed), [[true, true]; 3], "{}", bed.log(&wid));
    bed.resume(&wid, true);
    assert_eq!(bed.ended(&wid).await.0, NODES, "{}", bed.log(&wid));
    assert_eq!(keys(&bed), [[false, true]; 3], "what was in memory is gone");
    assert!(NODES.iter().all(|node| bed.runs_the_image(node)));
    let log = bed.log(&wid);
    assert!(log.contains("  send_key_in_deploy_env\n") && log.contains("  send_key\n"), "{log}");

    // Nothing is mounted of an image whose filesystem is not known.
    let image = json!({"file": bed.image(), "kind": "dd", "compression": "gzip"});
    let environment = bed.environment(json!({"image": image, "filesystem": "ntfs", "os": "other"}));
    let changes = json!({"ssh_authorized_keys": key, "environment": environment});
    let wid = waiting(&bed, changes).await;
    assert_eq!(keys(&bed), [[true, false]; 3], "{}", bed.log(&wid));
    bed.resume(&wid, false);
    assert_eq!(bed.ended(&wid).await.1, NODES);

    let wid = waiting(&bed, json!({})).await;
    assert_eq!(keys(&bed), [[false, false]; 3], "{}", bed.log(&wid));
    bed.resume(&wid, true);
    assert_eq!(bed.ended(&wid).await.0, NODES, "{}", bed.log(&wid));
    assert_eq!(keys(&bed), [[false, false]; 3]);
    let log = bed.log(&wid);
    for step in ["SetDeploymentEnvUntrusted-send_key_in_deploy_env", "BroadcastEnvChain-send_key"] {
        assert!(log.contains(&format!(" * Bypassing the step {step}\n")), "{step}: {log}");
    }
}

//! The store in real directories, and what the tests of its parts share.

mod age;
mod crash;
mod damage;
mod durable;
mod faults;
mod repair;

use std::sync::Arc;

use redb::ReadableTable;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::*;

fn body(n: u64) -> Box<RawValue> {
    to_raw_value(&json!({ "n": n })).unwrap()
}

fn operation(id: &str, n: u64) -> OperationRecord {
    OperationRecord {
        id: id.to_owned(),
        kind: OperationKind::Deploy,
        user: "ann".to_owned(),
        nodes: vec!["n-1.site".to_owned()],
        created: 1,
        ended: None,
        request: json!({}),
        result: json!({ "n": n }),
    }
}

fn node(name: &str, state: NodeState) -> NodeRecord {
    let environment =
        EnvironmentRef { id: Some(3), name: "deb".into(), version: 2, user: "ann".into() };
    NodeRecord {
        partition: Some("/dev/sda3".into()),
        node: name.into(),
        state,
        user: "ann".into(),
        environment: Some(environment),
        date: 7,
    }
}

fn environment(id: u64, user: &str, name: &str, version: u32) -> EnvironmentRecord {
    EnvironmentRecord {
        id,
        user: user.into(),
        name: name.into(),
        version,
        description: json!({ "os": "linux", "image": { "file": "server:///srv/img.tgz" } }),
        checksums: [(
            "server:///srv/img.tgz".to_owned(),
            "5eb63bbbe01eeed093cb22bb8f5acdc3".to_owned(),
        )]
        .into(),
    }
}

fn right(user: &str, node: &str, part: &str) -> RightRecord {
    RightRecord { user: user.into(), node: node.into(), part: part.into() }
}

fn row(wid: &str, hostname: &str, start: u64, success: bool) -> StatRow {
    StatRow {
        wid: wid.into(),
        hostname: hostname.into(),
        user: "ann".into(),
        steps: vec![StatStep {
            name: "SetDeploymentEnvUntrusted".into(),
            timeout: 300,
            retries: 1,
            duration: 95,
        }],
        start,
        environment: "deb:2".into(),
        anonymous: Some(false),
        md5: String::new(),
        success: Some(success),
        error: if success { String::new() } else { "no, it\n\"failed\"".into() },
    }
}

#[tokio::test]
async fn nodes_are_found_by_their_names_in_one_look() {
    let store = EmbeddedStore::on_disk(MemoryDisk::new()).unwrap();
    let change = Change::new().put_node(node("n-1.site", NodeState::Deploying));
    store.commit(change.put_node(node("n-2.site", NodeState::Deployed))).await.unwrap();
    let called = ["n-1.site", "n-7.site"].map(str::to_owned);
    let called = store.nodes_called(&called).await.unwrap();
    let known = ("n-1.site".to_owned(), node("n-1.site", NodeState::Deploying));
    assert_eq!(called, [known].into(), "who was never used is left out");
}

#[tokio::test]
async fn what_was_committed_is_there_after_reopening() {
    let directory = TempDir::new().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    let change = Change::new()
        .append("D-1", 5, body(1))
        .append("D-1", 6, RawValue::from_string("{ \"n\":2e0 }".into()).unwrap())
        .append("D-10", 7, body(3))
        .put_operation(operation("D-1", 1))
        .put_node(node("n-1.site", NodeState::Deploying))
        .add_environment(environment(1, "ann", "deb", 1))
        .put_right(right("ann", "*", "/dev/sda3"))
        .put_statistic(row("D-0", "n-1.site", 100, false));
    store.commit(change).await.unwrap();
    drop(store);

    let store = EmbeddedStore::open(directory.path()).unwrap();
    let journal = store.journal("D-1", 0, 10).await.unwrap();
    let read: Vec<_> =
        journal.iter().map(|record| (record.seq, record.at_ms, record.body.get())).collect();
    assert_eq!(read, [(1, 5, "{\"n\":1}"), (2, 6, "{ \"n\":2e0 }")], "byte for byte");
    assert_eq!(store.operation("D-1").await.unwrap(), Some(operation("D-1", 1)));
    assert_eq!(store.operation("D-2").await.unwrap(), None);
    assert_eq!(store.nodes().await.unwrap(), [node("n-1.site", NodeState::Deploying)]);
    assert_eq!(
        store.environments(&EnvironmentQuery::default()).await.unwrap(),
        [environment(1, "ann", "deb", 1)]
    );
    assert_eq!(store.rights(None).await.unwrap(), [right("ann", "*", "/dev/sda3")]);
    assert_eq!(
        store.statistics(&StatFilter::default()).await.unwrap(),
        [row("D-0", "n-1.site", 100, false)]
    );
    assert_eq!(store.new_environment_id(), 2);

    let change = Change::new()
        .append("D-1", 8, body(3))
        .forget_operation("D-1")
        .forget_node("n-1.site")
        .forget_environment("ann", "deb", 1)
        .forget_right(right("ann", "*", "/dev/sda3"))
        .forget_journal("D-10");
    store.commit(change).await.unwrap();
    assert_eq!(store.journal("D-1", 2, 10).await.unwrap()[0].seq, 3);
    assert!(store.journal("D-10", 0, 10).await.unwrap().is_empty());
    assert!(
        store.operations().await.unwrap().is_empty() && store.nodes().await.unwrap().is_empty()
    );
    assert!(store.rights(Some("ann")).await.unwrap().is_empty());
    drop(store);
    let store = EmbeddedStore::open(directory.path()).unwrap();
    assert_eq!(store.new_environment_id(), 2, "an id that was used is not used again");
}

#[tokio::test]
async fn sixty_four_tasks_commit_at_once_and_no_record_is_lost_or_misplaced() {
    let directory = TempDir::new().unwrap();
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(directory.path()).unwrap());
    let mut tasks = JoinSet::new();
    for task in 0..64_u64 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for n in 1..=20 {
                let own = format!("D-{task}");
                let change = Change::new()
                    .append(&own, n, body(n))
                    .append("shared", n, body(task * 100 + n))
                    .put_operation(operation(&own, n));
                store.commit(change).await?;
            }
            Ok::<(), StoreError>(())
        });
    }
    assert!(tasks.join_all().await.iter().all(Result::is_ok));
    drop(store);
    let store = EmbeddedStore::open(directory.path()).unwrap();
    for task in 0..64 {
        let own = format!("D-{task}");
        let journal = store.journal(&own, 0, 100).await.unwrap();
        assert!(
            journal.iter().map(|record| (record.seq, record.at_ms)).eq((1..=20).map(|n| (n, n)))
        );
        assert_eq!(store.operation(&own).await.unwrap(), Some(operation(&own, 20)));
    }
    let shared = store.journal("shared", 0, usize::MAX).await.unwrap();
    assert!(shared.iter().map(|record| record.seq).eq(1..=64 * 20));
    assert_eq!(store.operations().await.unwrap().len(), 64);
    let page = store.journal("shared", 1000, 3).await.unwrap();
    assert!(page.iter().map(|record| record.seq).eq(1001..=1003));
}

#[tokio::test]
async fn environments_are_found_by_user_name_and_version() {
    let directory = TempDir::new().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    let names = [
        ("ann", "deb", 1),
        ("ann", "deb", 10),
        ("ann", "deb", 9),
        ("ann", "debian", 4),
        ("bob", "deb", 3),
    ];
    for (user, name, version) in names {
        let id = store.new_environment_id();
        store
            .commit(Change::new().add_environment(environment(id, user, name, version)))
            .await
            .unwrap();
    }
    let query = |user: Option<&str>, name: Option<&str>, version| EnvironmentQuery {
        user: user.map(Into::into),
        name: name.map(Into::into),
        version,
    };
    let cases = [
        (query(None, None, Version::All), vec![1, 3, 2, 4, 5]),
        (query(None, None, Version::Latest), vec![2, 4, 5]),
        (query(Some("ann"), None, Version::Latest), vec![2, 4]),
        (query(Some("ann"), Some("deb"), Version::Latest), vec![2]),
        (query(Some("ann"), Some("deb"), Version::All), vec![1, 3, 2]),
        (query(None, Some("deb"), Version::Exactly(3)), vec![5]),
        (query(Some("eve"), None, Version::All), vec![]),
    ];
    for (query, ids) in cases {
        let found: Vec<u64> =
            store.environments(&query).await.unwrap().iter().map(|record| record.id).collect();
        assert_eq!(found, ids, "{query:?}");
    }
}

#[tokio::test]
async fn a_change_that_adds_what_is_there_changes_nothing() {
    let directory = TempDir::new().unwrap();
    let store = Arc::new(EmbeddedStore::open(directory.path()).unwrap());
    let mut tasks = JoinSet::new();
    for n in 1..=32_u64 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let change = Change::new()
                .append("D-1", n, body(n))
                .add_environment(environment(n, "ann", "deb", 1));
            store.commit(change).await
        });
    }
    let (done, refused): (Vec<_>, Vec<_>) =
        tasks.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((done.len(), refused.len()), (1, 31));
    let error = refused[0].as_ref().unwrap_err();
    assert_eq!(error.to_string(), "'ann / deb / 1' is already in environments");
    let journal = store.journal("D-1", 0, 100).await.unwrap();
    let winner = &store.environments(&EnvironmentQuery::default()).await.unwrap()[0];
    assert_eq!((journal.len(), journal[0].seq, journal[0].at_ms), (1, 1, winner.id));
    store.commit(Change::new().put_environment(environment(9, "ann", "deb", 1))).await.unwrap();
}

#[tokio::test]
async fn statistics_are_filtered() {
    let directory = TempDir::new().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    let mut change = Change::new();
    for start in [300, 100, 200] {
        for host in ["a", "b"] {
            change = change.put_statistic(row(&format!("D-{start}"), host, start, host == "a"));
        }
    }
    store.commit(change).await.unwrap();
    let all = StatFilter::default();
    let cases = [
        (all.clone(), vec!["D-100 a", "D-100 b", "D-200 a", "D-200 b", "D-300 a", "D-300 b"]),
        (
            StatFilter { from: Some(200), until: Some(300), ..all.clone() },
            vec!["D-200 a", "D-200 b"],
        ),
        (
            StatFilter { nodes: vec!["b".into()], limit: Some(2), ..all.clone() },
            vec!["D-100 b", "D-200 b"],
        ),
        (
            StatFilter { wid: Some("D-300".into()), success: Some(true), ..all.clone() },
            vec!["D-300 a"],
        ),
        (StatFilter { user: Some("bob".into()), ..all.clone() }, vec![]),
        (StatFilter { from: Some(300), until: Some(200), ..all }, vec![]),
    ];
    for (filter, expected) in cases {
        let found = store.statistics(&filter).await.unwrap();
        let found: Vec<String> =
            found.iter().map(|row| format!("{} {}", row.wid, row.hostname)).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
}

#[test]
fn a_second_server_is_refused_and_told_who_has_the_directory() {
    let directory = TempDir::new().unwrap();
    let first = EmbeddedStore::open(directory.path()).unwrap();
    let error = EmbeddedStore::open(directory.path()).err().unwrap();
    let text = error.to_string();
    assert!(
        matches!(&error, StoreError::Locked { holder: Some(pid), .. } if *pid == std::process::id()),
        "{text}"
    );
    assert!(text.contains(directory.path().to_str().unwrap()), "{text}");
    drop(first);
    EmbeddedStore::open(directory.path()).unwrap();
}

/// Changes the raw value at a key that contains `text`, with the store closed.
fn harm(directory: &TempDir, text: &str, change: impl Fn(&mut Vec<u8>)) {
    let disk = Directory::new(directory.path());
    let session = engine::Session::open(&disk, engine::FILE, false).unwrap();
    session.admit().unwrap();
    let harmed = session.write(|records| {
        let holds = |key: &[u8]| key.windows(text.len()).any(|window| window == text.as_bytes());
        let all = records.iter().unwrap().map(Result::unwrap);
        let all: Vec<_> =
            all.map(|(key, value)| (key.value().to_vec(), value.value().to_vec())).collect();
        let (key, mut value) = all.into_iter().find(|(key, _)| holds(key)).unwrap();
        change(&mut value);
        records.insert(key.as_slice(), value.as_slice()).unwrap();
        Ok(())
    });
    harmed.unwrap();
}

/// All that a store holds, as text; of the journals those of `wids`.
async fn content(store: &EmbeddedStore, wids: &[&str]) -> Result<String, StoreError> {
    let mut text = String::new();
    for wid in wids {
        text += &format!("{wid} {:?}\n", store.journal(wid, 0, usize::MAX).await?);
    }
    text += &format!("{:?}\n{:?}\n", store.operations().await?, store.nodes().await?);
    text += &format!("{:?}\n", store.environments(&EnvironmentQuery::default()).await?);
    text += &format!("{:?}\n", store.rights(None).await?);
    text += &format!("{:?}\n", store.statistics(&StatFilter::default()).await?);
    Ok(text)
}

#[tokio::test]
async fn a_damaged_record_is_named() {
    let directory = TempDir::new().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    let change =
        Change::new().append("D-1", 1, body(1)).put_node(node("n-1.site", NodeState::Deployed));
    store.commit(change.put_node(node("n-2.site", NodeState::Deployed))).await.unwrap();
    drop(store);
    harm(&directory, "n-1.site", |value| value[9] ^= 1);
    harm(&directory, "D-1", |value| value[0] = 9);
    let store = EmbeddedStore::open(directory.path()).unwrap();
    let text = store.nodes().await.unwrap_err().to_string();
    assert!(
        text.starts_with("damaged record in nodes, 'n-1.site': its checksum does not match"),
        "{text}"
    );
    let text = store.journal("D-1", 0, 10).await.unwrap_err().to_string();
    assert!(
        text.starts_with("damaged record in the journal, 'D-1 / 1': its format is 9, not 1"),
        "{text}"
    );
    assert!(store.node("n-2.site").await.unwrap().is_some());
    store.commit(Change::new().forget_node("n-1.site")).await.unwrap();
    assert_eq!(store.nodes().await.unwrap().len(), 1, "a record can be deleted");
}

#[test]
fn the_state_of_a_version_before_the_first_release_is_refused() {
    let directory = TempDir::new().unwrap();
    std::fs::create_dir(directory.path().join("sled")).unwrap();
    std::fs::write(directory.path().join("transactions"), "00000000000000000007\n").unwrap();
    for error in [
        EmbeddedStore::open(directory.path()).err().unwrap(),
        check(directory.path()).err().unwrap(),
        repair(directory.path(), &mut |_, _| {}).err().unwrap(),
    ] {
        let text = error.to_string();
        assert!(matches!(error, StoreError::Older { .. }), "{text}");
        assert!(text.contains("move it away, or give this service another directory"), "{text}");
    }
}

#[test]
fn the_state_of_a_newer_release_is_refused() {
    let directory = TempDir::new().unwrap();
    drop(EmbeddedStore::open(directory.path()).unwrap());
    harm(&directory, "schema", |value| {
        let key = key::Key::new(Tree::Meta).text("schema");
        *value = frame::seal(&key, b"2");
    });
    let error = EmbeddedStore::open(directory.path()).err().unwrap();
    assert!(matches!(error, StoreError::Newer { found: 2, known: 1, .. }), "{error}");
    let repaired = repair(directory.path(), &mut |_, _| {});
    assert!(matches!(repaired, Err(StoreError::Newer { .. })), "{repaired:?}");
    assert!(
        error.to_string().contains("has schema version 2, this release knows versions up to 1"),
        "{error}"
    );
}

#[tokio::test]
async fn records_of_any_size_are_kept() {
    let directory = TempDir::new().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    let large = to_raw_value(&"x".repeat(3_000_000)).unwrap();
    store
        .commit(Change::new().append("D-1", 1, large.clone()).append("D-1", 2, body(2)))
        .await
        .unwrap();
    drop(store);
    let store = EmbeddedStore::open(directory.path()).unwrap();
    let journal = store.journal("D-1", 0, 10).await.unwrap();
    assert_eq!((journal.len(), journal[0].body.get() == large.get()), (2, true));
}

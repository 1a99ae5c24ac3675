//! Which recorded environment a request means.

use super::*;
use crate::store::{Change, EnvironmentRecord};

/// Records `name` of `user` in this version.
async fn record(bed: &Bed<'_>, user: &str, (name, version): (&str, u32), visibility: &str) {
    let mut description = bed.environment(json!({"visibility": visibility}));
    let fields = description.as_object_mut().unwrap();
    for field in ["kind", "name", "version"] {
        fields.remove(field);
    }
    let store = &bed.operations.means().store;
    let record = EnvironmentRecord {
        id: store.new_environment_id(),
        user: user.into(),
        name: name.into(),
        version,
        description,
        checksums: BTreeMap::new(),
    };
    store.commit(Change::new().add_environment(record)).await.unwrap();
}

/// Owner and version of what anna's deployment of `choice` installs.
async fn meant(bed: &Bed<'_>, choice: Value) -> Result<(String, i64), String> {
    let body = bed.body(json!({"environment": choice, "force": true}));
    let wid = bed.ask(body).await.map_err(|why| why.to_string())?;
    let environment = bed.poll(&wid).environment.unwrap();
    Ok((environment.user.unwrap(), environment.version.unwrap()))
}

#[tokio::test(start_paused = true)]
async fn ones_own_comes_before_a_public_one_and_the_latest_before_all() {
    let scenario = Scenario::new(51, 3);
    let bed = Bed::new(&scenario).await;
    for (user, version, visibility) in [
        ("anna", 1, "private"),
        ("anna", 2, "private"),
        ("root", 7, "public"),
        ("ben", 8, "shared"),
        ("carl", 9, "private"),
    ] {
        record(&bed, user, ("deb", version), visibility).await;
    }
    record(&bed, "root", ("std", 3), "public").await;
    let owned = |user: &str, version| Ok((user.to_owned(), version));
    let of = |more: Value| {
        let mut choice = json!({"kind": "database", "name": "deb"});
        choice.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        choice
    };
    for (choice, expected) in [
        (of(json!({})), owned("anna", 2)),
        (of(json!({"version": 1})), owned("anna", 1)),
        (of(json!({"version": "1"})), owned("anna", 1)),
        // There is no other of that version that she may have without naming its owner.
        (of(json!({"version": 7})), owned("root", 7)),
        (of(json!({"user": "anna"})), owned("anna", 2)),
        (of(json!({"user": "root"})), owned("root", 7)),
        (of(json!({"user": "ben"})), owned("ben", 8)),
        (of(json!({"name": "std"})), owned("root", 3)),
    ] {
        assert_eq!(meant(&bed, choice.clone()).await, expected, "{choice}");
    }
    for (choice, words) in [
        (of(json!({"user": "carl"})), "the environment deb,latest of carl does not exist"),
        (of(json!({"version": 8})), "the environment deb,8 of anna does not exist"),
        (of(json!({"name": "none"})), "the environment none,latest of anna does not exist"),
    ] {
        let why = meant(&bed, choice.clone()).await.unwrap_err();
        assert!(why.contains(words), "{choice}: {why}");
    }
}

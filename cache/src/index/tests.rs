use proptest::prelude::*;

use super::*;

const LIMIT: u64 = 100;

fn key(n: u8) -> Key {
    Key {
        origin: format!("/srv/{n}"),
        owner: "ann".into(),
        version: "1".into(),
        tag: "tarball".into(),
    }
}

fn priority() -> impl Strategy<Value = Priority> {
    prop_oneof![Just(Priority::Anonymous), Just(Priority::Kept), Just(Priority::Recorded)]
}

#[derive(Clone, Debug)]
enum Op {
    /// Fetch entry `n` of a size, with a priority, and hold it or not.
    Fetch(u8, u64, Priority, bool),
    /// Use it again.
    Use(u8),
    /// The oldest reference of the n-th workflow ends.
    Release(u8),
    Remove(u8),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (0..12u8, 0..60u64, priority(), any::<bool>()).prop_map(|(n, s, p, h)| Op::Fetch(n, s, p, h)),
        2 => (0..12u8).prop_map(Op::Use),
        1 => (0..12u8).prop_map(Op::Release),
        1 => (0..12u8).prop_map(Op::Remove),
    ];
    proptest::collection::vec(op, 0..80)
}

/// Fetches as the cache does and checks every victim against the rules.
fn fetch(index: &mut Index, n: u8, size: u64, priority: Priority, hold: bool) {
    if index.by_stem(&key(n).stem()).is_some() {
        return;
    }
    let id = index.begin(key(n), Stamp::default(), size, priority);
    let all: Vec<(EntryId, Entry)> = index.iter().map(|(id, entry)| (id, entry.clone())).collect();
    let pinned: u64 = all.iter().filter(|(_, e)| !e.idle()).map(|(_, e)| e.room).sum();
    let Ok(victims) = index.victims(size) else {
        assert!(
            pinned + size > LIMIT,
            "refused though {pinned} pinned bytes leave room for {size}"
        );
        index.remove(id);
        return;
    };
    assert!(pinned + size <= LIMIT);
    let (gone, stay): (Vec<_>, Vec<_>) = all.iter().partition(|(id, _)| victims.contains(id));
    for (_, victim) in &gone {
        assert!(victim.leases.is_empty() && !victim.busy, "a referenced entry was chosen");
        for (_, other) in stay.iter().filter(|(_, e)| e.idle()) {
            assert!(
                (victim.priority, victim.used_at) <= (other.priority, other.used_at),
                "{victim:?} before {other:?}"
            );
        }
    }
    if let Some(last) = victims.last() {
        let freed: u64 = gone.iter().filter(|(id, _)| id != last).map(|(_, e)| e.room).sum();
        assert!(index.used() - freed + size > LIMIT, "one victim too many");
    }
    for victim in victims {
        index.remove(victim);
    }
    index.reserve(id).unwrap();
    if let Some(entry) = index.get_mut(id) {
        entry.busy = false;
        entry.digest = Some(Digest::of(&[n]));
    }
    let lease = index.lease(id, &n.to_string(), priority);
    if !hold {
        index.unlease(id, lease);
    }
}

fn apply(index: &mut Index, op: &Op) {
    match *op {
        Op::Fetch(n, size, priority, hold) => fetch(index, n, size, priority, hold),
        Op::Use(n) => {
            if let Some(id) = index.by_stem(&key(n).stem()) {
                let lease = index.lease(id, "someone", Priority::Anonymous);
                index.unlease(id, lease);
            }
        }
        Op::Release(n) => {
            index.release(&n.to_string());
        }
        Op::Remove(n) => {
            if let Some(id) = index.by_stem(&key(n).stem()) {
                index.remove(id);
            }
        }
    }
}

proptest! {
    #[test]
    fn the_limit_holds_and_only_the_right_ones_go(ops in ops()) {
        let mut index = Index::new(LIMIT);
        for op in &ops {
            apply(&mut index, op);
            let sum: u64 = index.iter().map(|(_, entry)| entry.room).sum();
            prop_assert_eq!(index.used(), sum);
            prop_assert!(sum <= LIMIT);
            for (id, entry) in index.iter() {
                prop_assert_eq!(index.by_stem(&entry.stem), Some(id));
            }
        }
    }

    #[test]
    fn an_index_loaded_from_its_descriptions_decides_the_same(ops in ops(), size in 0..=LIMIT) {
        let mut before = Index::new(LIMIT);
        for op in &ops {
            apply(&mut before, op);
        }
        for n in 0..12u8 {
            before.release(&n.to_string());
        }
        let mut after = Index::new(LIMIT);
        let metas: Vec<Meta> = before.iter().filter_map(|(_, entry)| entry.meta()).collect();
        for meta in metas.iter().rev() {
            after.load(meta.clone());
        }
        let order = |index: &Index| -> Vec<String> {
            index.victims(size).unwrap().iter().filter_map(|id| index.get(*id)).map(|e| e.stem.clone()).collect()
        };
        prop_assert_eq!(after.used(), before.used());
        prop_assert_eq!(after.clock, metas.iter().map(|m| m.atime_virt).max().unwrap_or(0));
        prop_assert_eq!(order(&after), order(&before));
    }
}

#[test]
fn a_lowered_limit_names_who_must_go() {
    let mut index = Index::new(10);
    for n in 0..4u8 {
        index.load(Meta {
            key: key(n),
            priority: if n == 0 { Priority::Recorded } else { Priority::Kept },
            file_in_cache: format!("{}.data", key(n).stem()),
            size: 5,
            atime_virt: u64::from(n),
            stamp: Stamp::default(),
            sha256: Digest::of(&[n]),
        });
    }
    let stems: Vec<_> =
        index.surplus().iter().filter_map(|id| index.get(*id)).map(|e| e.stem.clone()).collect();
    assert_eq!(stems, [key(1).stem(), key(2).stem()]);
}

//! A state that has been in use.

use kadence::store::{
    Change, EmbeddedStore, NodeRecord, NodeState, OperationKind, OperationRecord, Store,
};
use serde_json::{json, value::RawValue};
use std::error::Error;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What a transition writes: about 200 bytes.
pub(crate) fn body(n: u64) -> Result<Box<RawValue>> {
    let nodes: Vec<String> = (0..8).map(|k| format!("node-{:05}", n % 1000 + k)).collect();
    let text = json!({"batch": n, "step": "BroadcastEnv/send_image", "at": n, "ok": nodes});
    Ok(RawValue::from_string(text.to_string())?)
}

/// A site that has been in use: its nodes, and journals of so many records in all.
pub(crate) async fn fill(store: &EmbeddedStore, nodes: u64, records: u64) -> Result<()> {
    for block in 0..nodes.div_ceil(1000) {
        let mut change = Change::new();
        for n in block * 1000..nodes.min((block + 1) * 1000) {
            change = change.put_node(NodeRecord {
                partition: None,
                node: format!("node-{}.sim", n + 1),
                state: NodeState::Deployed,
                user: "ann".to_owned(),
                environment: None,
                date: n,
            });
        }
        store.commit(change).await?;
    }
    for block in 0..records / 1000 {
        let wid = format!("D-{block:08}-0000-4000-8000-000000000000");
        let mut change = Change::new().put_operation(OperationRecord {
            id: wid.clone(),
            kind: OperationKind::Deploy,
            user: "ann".to_owned(),
            nodes: (0..100).map(|n| format!("node-{n}.site.example.org")).collect(),
            created: block,
            ended: Some(block),
            request: json!({"environment": {"name": "debian"}}),
            result: json!({}),
        });
        for n in 0..1000 {
            change = change.append(&wid, n, body(n)?);
        }
        store.commit(change).await?;
    }
    Ok(())
}

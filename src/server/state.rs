//! The state as it can be had: whole, or what can be read of a damaged one.

use crate::store::{EmbeddedStore, Findings, StoreError};
use anyhow::Context;
use std::{path::Path, sync::Arc};

/// Places of damage that are logged: `kadence store check` tells the others.
const PLACES: usize = 20;

/// What there is.
pub(super) struct State {
    /// The store: read-only where something is damaged.
    pub(super) store: Arc<EmbeddedStore>,
    /// What is damaged and the way out; none where all is as it was written.
    pub(super) damage: Option<Arc<str>>,
}

/// Opens the state in `directory`; where it is damaged, what can be read of it. The files of
/// a damaged one stay as they are.
///
/// # Errors
/// It is in use or of another release, or the system cannot read it.
pub(super) fn open(directory: &Path) -> anyhow::Result<State> {
    let context = "cannot open the state directory";
    match EmbeddedStore::open(directory) {
        Ok(store) => Ok(State { store: Arc::new(store), damage: None }),
        Err(error) if error.is_damage() => {
            let (store, found) = EmbeddedStore::salvaged(directory).context(context)?;
            let damage = text(&error);
            tell(&damage, &found);
            Ok(State { store: Arc::new(store), damage: Some(damage.into()) })
        }
        Err(error) => Err(error).context(context),
    }
}

/// What is told to whoever wants to change something.
fn text(error: &StoreError) -> String {
    format!(
        "the state is damaged and can only be read: {error}. Stop the service, look with \
         `kadence store check`, then restore the directory from a copy or run `kadence store repair`"
    )
}

/// Tells the operator, whatever the level of the log.
fn tell(damage: &str, found: &Findings) {
    tracing::error!("{damage}");
    for place in found.unreadable.iter().take(PLACES) {
        tracing::error!("cannot be read: {place}");
    }
    for cut in found.cut.iter().take(PLACES) {
        let (wid, last) = (&cut.wid, cut.kept);
        tracing::error!(wid, last, "this journal ends too early");
    }
    let records: u64 = found.records.values().sum();
    tracing::error!(
        records,
        "what can be read is served, every change is refused, and nothing that was under way goes on"
    );
}

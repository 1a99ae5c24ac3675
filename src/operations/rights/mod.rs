//! Who may deploy where: recorded, asked, taken back.
//!
//! A right is a user, a node and a partition; `*` stands for all nodes or all partitions. The
//! functions over lists of them are pure and tell what is to be changed; [`Rights`] reads and
//! writes the store, one change at a time.

use crate::{
    store::{Change, RightRecord, Store},
    types::{Code, Problem},
};
use automata::ranges;
use config::model::server::{Rights as Written, RightsKind};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};
use tokio::sync::Mutex;

/// All nodes, or all partitions.
pub const ALL: &str = "*";

/// User, node, partitions: as they are told.
pub type Table = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// Rights over nodes and partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of whom.
    pub user: String,
    /// Full names; none means all.
    pub nodes: Vec<String>,
    /// As `/dev/sda3`; none means all.
    pub partitions: Vec<String>,
}

impl Wanted {
    fn nodes(&self) -> BTreeSet<&str> {
        or_all(&self.nodes)
    }

    fn parts(&self) -> BTreeSet<&str> {
        or_all(&self.partitions)
    }
}

fn or_all(names: &[String]) -> BTreeSet<&str> {
    let named: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    if named.is_empty() || named.contains(ALL) { BTreeSet::from([ALL]) } else { named }
}

/// What is to be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Given.
    pub put: Vec<RightRecord>,
    /// Taken.
    pub forget: Vec<RightRecord>,
}

/// Whether `rights`, those of one user, allow `part` of every node; an empty `part` is any.
pub fn allows(rights: &[RightRecord], nodes: &[&str], part: &str) -> bool {
    let fits = |right: &&RightRecord| part.is_empty() || right.part == ALL || right.part == part;
    // Who has rights on all nodes has these, and no others count.
    if rights.iter().any(|right| right.node == ALL) {
        return rights.iter().filter(|right| right.node == ALL).any(|right| fits(&right));
    }
    let allowed: BTreeSet<&str> =
        rights.iter().filter(fits).map(|right| right.node.as_str()).collect();
    nodes.iter().all(|node| allowed.contains(node))
}

/// What it takes to give `wanted`, where `all` are the rights there are and `almighty` tells
/// whose do not count as those of others.
///
/// # Errors
/// 11: the user has rights on single nodes and asks for partitions of all; or others have
/// rights there and `overwrite` is not set. 14: there is nothing to add.
pub fn add(
    all: &[RightRecord],
    wanted: &Wanted,
    overwrite: bool,
    almighty: impl Fn(&str) -> bool,
) -> Result<Turn, Problem> {
    let (nodes, parts) = (wanted.nodes(), wanted.parts());
    let every = nodes.contains(ALL);
    let mine: Vec<_> = all.iter().filter(|right| right.user == wanted.user).collect();
    if every && !parts.contains(ALL) && mine.iter().any(|right| right.node != ALL) {
        let text = format!(
            "The user {} has rights on single nodes: partitions of all nodes cannot be added to them",
            wanted.user
        );
        return Err(Problem::new(Code::ConflictingElements, text)
            .hint("take the rights on single nodes back first"));
    }
    let touched = |right: &&RightRecord| {
        right.user != wanted.user
            && !almighty(&right.user)
            && right.node != ALL
            && nodes.contains(right.node.as_str())
    };
    let others: Vec<_> = all.iter().filter(touched).collect();
    if let Some(first) = others.first().filter(|_| !overwrite) {
        return Err(held(&first.user, &others));
    }
    let mut turn = Turn::default();
    for node in nodes {
        give(&mut turn, &mine, &wanted.user, node, &parts);
    }
    if every && parts.contains(ALL) {
        // Rights on all nodes hold those on single ones.
        turn.forget.extend(mine.iter().filter(|right| right.node != ALL).copied().cloned());
    }
    if turn.put.is_empty() {
        return Err(Problem::new(Code::NothingModified, "all these rights are there already"));
    }
    turn.forget.extend(others.into_iter().cloned());
    Ok(turn)
}

fn held(user: &str, others: &[&RightRecord]) -> Problem {
    let of_user = others.iter().filter(|right| right.user == user);
    let nodes: BTreeSet<_> = of_user.map(|right| right.node.as_str()).collect();
    let nodes = nodes.into_iter().collect::<Vec<_>>().join(", ");
    let text = format!("Some rights are already set for user {user} on nodes {nodes}");
    Problem::new(Code::ConflictingElements, text)
        .hint("with overwrite the others lose their rights on these nodes")
}

/// Adds to `turn` what `user` lacks on one node.
fn give(turn: &mut Turn, mine: &[&RightRecord], user: &str, node: &str, parts: &BTreeSet<&str>) {
    let there: Vec<_> = mine.iter().filter(|right| right.node == node).collect();
    let has = |part: &str| there.iter().any(|right| right.part == part);
    if has(ALL) {
        return;
    }
    let new = parts.iter().filter(|part| !has(part));
    let right = |part: &&str| RightRecord {
        user: user.to_owned(),
        node: node.to_owned(),
        part: (*part).to_owned(),
    };
    turn.put.extend(new.map(right));
    if parts.contains(ALL) {
        turn.forget.extend(there.into_iter().map(|right| (**right).clone()));
    }
}

/// What it takes to take `wanted` back, where `mine` are the rights of its user.
///
/// # Errors
/// 11: single nodes or partitions are to be taken from a right on all. 14: there is nothing
/// to take.
pub fn take(mine: &[RightRecord], wanted: &Wanted) -> Result<Turn, Problem> {
    let (nodes, parts) = (wanted.nodes(), wanted.parts());
    let (every, whole) = (nodes.contains(ALL), parts.contains(ALL));
    let conflict = |what: &str| {
        let text = format!("The user {} has rights on all {what}", wanted.user);
        let way_out = format!("take the right on all {what} back, and give what is to stay");
        Err(Problem::new(Code::ConflictingElements, text).hint(way_out))
    };
    if !every && mine.iter().any(|right| right.node == ALL) {
        return conflict("nodes");
    }
    let here = |right: &&RightRecord| every || nodes.contains(right.node.as_str());
    if !whole && mine.iter().filter(here).any(|right| right.part == ALL) {
        return conflict("partitions");
    }
    let fits = |right: &&RightRecord| whole || parts.contains(right.part.as_str());
    let forget: Vec<_> = mine.iter().filter(here).filter(fits).cloned().collect();
    if forget.is_empty() {
        return Err(Problem::new(Code::NothingModified, "there are no such rights"));
    }
    Ok(Turn { put: Vec::new(), forget })
}

/// Rights as they are told.
pub fn table<'r>(rights: impl IntoIterator<Item = &'r RightRecord>) -> Table {
    let mut table = Table::new();
    for RightRecord { user, node, part } in rights {
        table.entry(user.clone()).or_default().entry(node.clone()).or_default().push(part.clone());
    }
    table
}

/// The rights of a site.
pub struct Rights {
    written: RwLock<Written>,
    store: Arc<dyn Store>,
    /// Held while rights are read to be changed.
    turn: Mutex<()>,
}

/// What a change came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// What was given or taken, of the user that was named.
    pub told: Table,
    /// Users who lost something, with all that is left to them.
    pub losers: Vec<(String, Vec<RightRecord>)>,
}

impl Rights {
    /// As `written` in the configuration.
    pub fn new(written: &Written, store: Arc<dyn Store>) -> Self {
        Self { written: RwLock::new(written.clone()), store, turn: Mutex::default() }
    }

    /// The configuration may have been loaded anew.
    pub(super) fn refresh(&self, written: &Written) {
        if *self.written() != *written {
            *self.written.write().unwrap_or_else(PoisonError::into_inner) = written.clone();
        }
    }

    fn written(&self) -> RwLockReadGuard<'_, Written> {
        self.written.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether everybody may do everything.
    pub fn is_dummy(&self) -> bool {
        self.written().kind == RightsKind::Dummy
    }

    /// Whether `user` manages rights.
    pub fn is_almighty(&self, user: &str) -> bool {
        self.written().almighty().any(|one| one == user)
    }

    /// The rights of one user, to be asked more than once.
    ///
    /// # Errors
    /// 20: the store cannot be read.
    pub async fn of(&self, user: &str) -> Result<Held, Problem> {
        let rights =
            if self.is_dummy() { None } else { Some(self.store.rights(Some(user)).await?) };
        Ok(Held(rights))
    }

    /// Rights as they are recorded, of one user or of all, on these nodes or on all.
    ///
    /// # Errors
    /// 404: there are none.
    pub async fn list(&self, user: Option<&str>, nodes: &[String]) -> Result<Table, Problem> {
        if self.is_dummy() {
            let all = BTreeMap::from([(ALL.to_owned(), vec![ALL.to_owned()])]);
            return Ok(BTreeMap::from([(user.unwrap_or(ALL).to_owned(), all)]));
        }
        let found = self.store.rights(user).await?;
        let here = |right: &&RightRecord| {
            nodes.is_empty() || right.node == ALL || nodes.contains(&right.node)
        };
        let table = table(found.iter().filter(here));
        if table.is_empty() {
            return Err(Problem::NotFound("no rights are recorded there".into()));
        }
        Ok(table)
    }

    /// Gives rights; with `overwrite` others lose theirs on the same nodes, and only there.
    ///
    /// # Errors
    /// As [`add`], and 20 where the store cannot be written.
    pub async fn add(
        &self,
        wanted: &Wanted,
        overwrite: bool,
        dry: bool,
    ) -> Result<Changed, Problem> {
        let _turn = self.turn.lock().await;
        let all = self.store.rights(None).await?;
        let turn = add(&all, wanted, overwrite, |user| self.is_almighty(user))?;
        let told = table(&turn.put);
        self.change(turn, told, &wanted.user, dry).await
    }

    /// Takes rights back.
    ///
    /// # Errors
    /// As [`take`], and 20 where the store cannot be written.
    pub async fn take(&self, wanted: &Wanted, dry: bool) -> Result<Changed, Problem> {
        let _turn = self.turn.lock().await;
        let mine = self.store.rights(Some(&wanted.user)).await?;
        let turn = take(&mine, wanted)?;
        let told = table(&turn.forget);
        self.change(turn, told, "", dry).await
    }

    /// Makes a change; `gains` names the user who does not count as a loser.
    async fn change(
        &self,
        turn: Turn,
        told: Table,
        gains: &str,
        dry: bool,
    ) -> Result<Changed, Problem> {
        if dry {
            return Ok(Changed::default());
        }
        let losers: BTreeSet<String> = turn
            .forget
            .iter()
            .map(|right| right.user.clone())
            .filter(|user| user != gains)
            .collect();
        let change = turn.forget.into_iter().fold(Change::new(), Change::forget_right);
        self.store.commit(turn.put.into_iter().fold(change, Change::put_right)).await?;
        let mut left = Vec::new();
        for user in losers {
            let rights = self.store.rights(Some(&user)).await?;
            left.push((user, rights));
        }
        Ok(Changed { told, losers: left })
    }
}

/// The rights of one user.
pub struct Held(Option<Vec<RightRecord>>);

impl Held {
    /// Error 6 unless `part` (any, if it is empty) of every node is allowed.
    ///
    /// # Errors
    /// 6, with `detail`.
    pub fn demand(&self, nodes: &[&str], part: &str, detail: &str) -> Result<(), Problem> {
        match &self.0 {
            Some(rights) if !allows(rights, nodes, part) => {
                let nodes = ranges::fold(nodes.iter().copied());
                let hint =
                    format!("an administrator gives rights: `kadence rights add USER -m {nodes}`");
                Err(Problem::new(Code::InvalidRights, detail).hint(hint))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;

//! A batch of puts and deletes.

use serde::Serialize;
use serde_json::value::RawValue;

use super::key::{Key, Tree};
use super::{
    EnvironmentRecord, NodeRecord, OperationRecord, RightRecord, StatRow, StoreError, TokenRecord,
    frame,
};

/// What is to be changed, whole or not at all. Later steps win over earlier ones.
///
/// It does not print itself: requests may carry what no log may show.
#[derive(Default)]
pub struct Change {
    steps: Vec<Step>,
}

enum Step {
    Append { wid: String, at_ms: u64, body: Box<RawValue> },
    ForgetJournal(String),
    Operation(OperationRecord),
    ForgetOperation(String),
    Node(NodeRecord),
    ForgetNode(String),
    Environment(EnvironmentRecord, Presence),
    ForgetEnvironment(String, String, u32),
    Right(RightRecord),
    ForgetRight(RightRecord),
    Statistic(StatRow),
    Token(TokenRecord),
    ForgetToken(String),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// Must not be there.
    New,
    /// May be there.
    Any,
}

/// A step as the writer sees it.
pub(super) enum Write {
    /// One more journal record; the writer knows its number.
    Append {
        wid: String,
        content: Vec<u8>,
    },
    /// Every record that begins so goes.
    Clear {
        prefix: Key,
    },
    Put {
        key: Key,
        content: Vec<u8>,
    },
    /// As `Put`, but the whole change fails if the key is there.
    Insert {
        key: Key,
        content: Vec<u8>,
    },
    Delete {
        key: Key,
    },
    /// Environment ids up to this one were used.
    UsedId(u64),
}

impl Change {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Appends a record to the journal of workflow `wid`; the store numbers it.
    #[must_use]
    pub fn append(self, wid: impl Into<String>, at_ms: u64, body: Box<RawValue>) -> Self {
        self.step(Step::Append { wid: wid.into(), at_ms, body })
    }

    /// Deletes the journal of a workflow. Its numbers begin at 1 again.
    #[must_use]
    pub fn forget_journal(self, wid: impl Into<String>) -> Self {
        self.step(Step::ForgetJournal(wid.into()))
    }

    /// Adds or replaces an operation.
    #[must_use]
    pub fn put_operation(self, record: OperationRecord) -> Self {
        self.step(Step::Operation(record))
    }

    /// Deletes an operation; its journal stays.
    #[must_use]
    pub fn forget_operation(self, id: impl Into<String>) -> Self {
        self.step(Step::ForgetOperation(id.into()))
    }

    /// Adds or replaces what is known of a node.
    #[must_use]
    pub fn put_node(self, record: NodeRecord) -> Self {
        self.step(Step::Node(record))
    }

    /// Deletes what is known of a node.
    #[must_use]
    pub fn forget_node(self, name: impl Into<String>) -> Self {
        self.step(Step::ForgetNode(name.into()))
    }

    /// Adds an environment. If its user, name and version are there already, the
    /// whole change fails with [`StoreError::Exists`].
    #[must_use]
    pub fn add_environment(self, record: EnvironmentRecord) -> Self {
        self.step(Step::Environment(record, Presence::New))
    }

    /// Adds or replaces an environment.
    #[must_use]
    pub fn put_environment(self, record: EnvironmentRecord) -> Self {
        self.step(Step::Environment(record, Presence::Any))
    }

    /// Deletes one version of an environment.
    #[must_use]
    pub fn forget_environment(
        self,
        user: impl Into<String>,
        name: impl Into<String>,
        version: u32,
    ) -> Self {
        self.step(Step::ForgetEnvironment(user.into(), name.into(), version))
    }

    /// Grants a right; granting it twice is granting it once.
    #[must_use]
    pub fn put_right(self, record: RightRecord) -> Self {
        self.step(Step::Right(record))
    }

    /// Takes a right back.
    #[must_use]
    pub fn forget_right(self, record: RightRecord) -> Self {
        self.step(Step::ForgetRight(record))
    }

    /// Adds a statistics row, or replaces that of the same start, operation and node.
    #[must_use]
    pub fn put_statistic(self, row: StatRow) -> Self {
        self.step(Step::Statistic(row))
    }

    /// Adds or replaces a token.
    #[must_use]
    pub fn put_token(self, record: TokenRecord) -> Self {
        self.step(Step::Token(record))
    }

    /// Takes a token back.
    #[must_use]
    pub fn forget_token(self, id: impl Into<String>) -> Self {
        self.step(Step::ForgetToken(id.into()))
    }

    /// The change in keys and bytes.
    pub(super) fn encode(self) -> Result<Vec<Write>, StoreError> {
        let mut writes = Vec::with_capacity(self.steps.len());
        for step in self.steps {
            step.encode(&mut writes)?;
        }
        Ok(writes)
    }
}

impl Step {
    fn encode(self, writes: &mut Vec<Write>) -> Result<(), StoreError> {
        let write = match self {
            Self::Append { wid, at_ms, body } => {
                let record = super::JournalRecord { seq: 0, at_ms, body };
                Write::Append { wid, content: frame::encode(Tree::Journal, &record)? }
            }
            Self::ForgetJournal(wid) => Write::Clear { prefix: journal(&wid) },
            Self::Operation(record) => put(operation(&record.id), &record)?,
            Self::ForgetOperation(id) => Write::Delete { key: operation(&id) },
            Self::Node(record) => put(node(&record.node), &record)?,
            Self::ForgetNode(name) => Write::Delete { key: node(&name) },
            Self::Environment(record, presence) => {
                writes.push(Write::UsedId(record.id));
                let key = environment(&record.user, &record.name).number(record.version.into());
                let content = frame::encode(Tree::Environments, &record)?;
                if presence == Presence::New {
                    Write::Insert { key, content }
                } else {
                    Write::Put { key, content }
                }
            }
            Self::ForgetEnvironment(user, name, version) => {
                Write::Delete { key: environment(&user, &name).number(version.into()) }
            }
            Self::Right(record) => put(right(&record), &record)?,
            Self::ForgetRight(record) => Write::Delete { key: right(&record) },
            Self::Token(record) => put(token(&record.id), &record)?,
            Self::ForgetToken(id) => Write::Delete { key: token(&id) },
            Self::Statistic(row) => put(
                Key::new(Tree::Statistics).number(row.start).text(&row.wid).text(&row.hostname),
                &row,
            )?,
        };
        writes.push(write);
        Ok(())
    }
}

fn put(key: Key, record: &impl Serialize) -> Result<Write, StoreError> {
    let content = frame::encode(Tree::of(&key.0), record)?;
    Ok(Write::Put { key, content })
}

pub(super) fn journal(wid: &str) -> Key {
    Key::new(Tree::Journal).text(wid)
}

pub(super) fn operation(id: &str) -> Key {
    Key::new(Tree::Operations).text(id)
}

pub(super) fn node(name: &str) -> Key {
    Key::new(Tree::Nodes).text(name)
}

pub(super) fn environment(user: &str, name: &str) -> Key {
    Key::new(Tree::Environments).text(user).text(name)
}

pub(super) fn token(id: &str) -> Key {
    Key::new(Tree::Tokens).text(id)
}

fn right(record: &RightRecord) -> Key {
    Key::new(Tree::Rights).text(&record.user).text(&record.node).text(&record.part)
}

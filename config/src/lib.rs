//! Kadeploy's YAML files as types, with precise errors.
//!
//! A file is read in two stages. First what was written: `tree` turns YAML
//! into located values. Then what it means: every key is declared once, in the
//! `section!` of its struct under [`model`] (name, type, default, check, effect,
//! words), and from that follow the struct, its reader (`read`) and its
//! documentation (`doc`). All mistakes of all files are collected (`mistake`)
//! before [`load`] gives up; types are built from a checked tree only.
//! `inventory` then unfolds the node ranges (`ranges`) into machines.

mod check;
mod connector;
mod doc;
mod expression;
mod inventory;
mod key;
mod load;
mod macros;
mod mistake;
pub mod model;
mod ranges;
mod read;
mod snippet;
mod substitute;
mod tree;

pub use connector::{Agent, Connector, HostKeys, SshConnector, SshLogin};
pub use doc::{KeyDoc, documentation, explain};
pub use expression::{BadExpression, Expression};
pub use load::{Loaded, LoadedClient, load, load_client};
pub use mistake::{Class, Mistake, Mistakes, Notice, Place};
pub use model::{
    Bmc, BmcDriver, Client, Cluster, Config, Firmware, Node, Platform, Secret, Server, Timeout,
};
pub use ranges::{RangeError, expand};
pub use substitute::{NotAName, substitute};

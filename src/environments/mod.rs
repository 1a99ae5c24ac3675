//! Environments: what can be installed.
//!
//! An environment is described by a YAML (or JSON) hash. [`Environment::parse`]
//! checks all of it and builds the type that the workflows use; nothing else in
//! the service looks at the raw description.
//!
//! * `description` – the fields and their rules
//! * `legacy` – descriptions of before 3.1.7
//! * `fields` – reads a hash, remembering where it is for the error message
//! * `reference` – where a file is: on the client, on the server, on the web

mod description;
mod fields;
mod legacy;
mod reference;

pub use description::{
    Archive, Boot, Compression, Environment, Image, ImageKind, OsKind, PartitionImage, Visibility,
};
pub(crate) use fields::Fields;
pub use legacy::legacy;
pub use reference::{FileRef, without_password};

/// A description that cannot be used: the field and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} [field: {field}]")]
pub struct Invalid {
    /// Path of the field, `image/kind`.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

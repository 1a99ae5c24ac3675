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

/// Why a description cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A field is wrong.
    #[error("{message} [field: {field}]")]
    Field {
        /// Its path, `image/kind`.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// A field is missing that others ask for.
    #[error("{0}")]
    Rule(String),
}

impl Invalid {
    /// As it is told of a whole description: of a field with where it comes from, of a rule alone.
    pub fn told(&self) -> String {
        match self {
            Self::Field { .. } => format!("Error[environment description] {self}"),
            Self::Rule(text) => text.clone(),
        }
    }
}

//! Errors a user can get, with Kadeploy's numbers.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The number of an application error: what a program may depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
#[expect(missing_docs, reason = "each variant's text is in `Code::text`, one line each")]
pub enum Code {
    BadConfiguration = 0,
    InvalidWorkflowId = 1,
    InvalidNodelist = 2,
    InvalidClient = 3,
    InvalidOption = 4,
    InvalidFile = 5,
    InvalidRights = 6,
    InvalidEnvironment = 7,
    InvalidCustomOperation = 8,
    InvalidVlan = 9,
    ExistingElement = 10,
    ConflictingElements = 11,
    MissingOption = 12,
    ConflictingOptions = 13,
    NothingModified = 14,
    ExecuteError = 15,
    DatabaseError = 20,
    CacheError = 21,
    CacheFull = 22,
    DestructiveEnvironment = 30,
}

impl Code {
    /// The general text, the same for every error of this number.
    pub fn text(self) -> &'static str {
        match self {
            Self::BadConfiguration => "Error in configuration files",
            Self::InvalidWorkflowId => "Invalid workflow ID",
            Self::InvalidNodelist => "Invalid node list",
            Self::InvalidClient => "Invalid client's export",
            Self::InvalidOption => "Invalid option in the request",
            Self::InvalidFile => "Invalid file",
            Self::InvalidRights => {
                "You do not have sufficient rights to perform the operation on all the nodes"
            }
            Self::InvalidEnvironment => "Invalid environment specification",
            Self::InvalidCustomOperation => "Invalid custom operations specification",
            Self::InvalidVlan => "Invalid VLAN",
            Self::ExistingElement => "Element already exists",
            Self::ConflictingElements => "Some elements already exists and are conflicting",
            Self::MissingOption => "Some options are missing",
            Self::ConflictingOptions => "Some options are conflicting",
            Self::NothingModified => "No element has been modified",
            Self::ExecuteError => "The execution of a command failed",
            Self::DatabaseError => "Database issue",
            Self::CacheError => "Something went wrong with the cache system",
            Self::CacheFull => "The cache is full",
            Self::DestructiveEnvironment => {
                "Cannot reboot since the last deployed environment was destructive"
            }
        }
    }

    /// The number.
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// An error as the API tells it and the command line prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// The request cannot be carried out: HTTP 400 with a number.
    Application {
        /// The number.
        code: Code,
        /// What exactly; empty if the general text says it all.
        detail: String,
        /// The way out, where the detail's wording is fixed by old clients.
        hint: Option<String>,
    },
    /// Who asks is not known: HTTP 401.
    Unauthorized(String),
    /// Who asks may not: HTTP 403.
    Forbidden(String),
    /// No such resource: HTTP 404.
    NotFound(String),
    /// The method does not exist for this path; the text lists those that do: HTTP 405.
    MethodNotAllowed(String),
    /// No representation the client accepts: HTTP 406.
    NotAcceptable(String),
    /// The body's length is not announced: HTTP 411.
    LengthRequired(String),
    /// The body is too large: HTTP 413.
    TooLarge(String),
    /// The address is too long: HTTP 414.
    TooLong(String),
    /// The body cannot be understood: HTTP 415.
    UnsupportedMedia(String),
    /// The service stops, or its state is damaged and can only be read: HTTP 503.
    Unavailable(String),
    /// A fault of ours: HTTP 500. The id is in the log, the cause nowhere else.
    Internal {
        /// To be found in the log.
        id: String,
    },
}

impl Problem {
    /// An application error.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self::Application { code, detail: detail.into(), hint: None }
    }

    /// A parameter that is missing or wrong.
    pub fn parameter(code: Code, name: &str, why: impl fmt::Display) -> Self {
        Self::new(code, format!("Parameter '{name}': {why}"))
    }

    /// The same error with a way out.
    #[must_use]
    pub fn hint(mut self, way_out: impl Into<String>) -> Self {
        if let Self::Application { hint, .. } = &mut self {
            *hint = Some(way_out.into());
        }
        self
    }

    /// Logs `cause` under a new id and returns the error that tells only the id.
    pub fn internal(cause: impl fmt::Display) -> Self {
        let id = uuid::Uuid::new_v4().to_string();
        tracing::error!(id, %cause, "internal error");
        Self::Internal { id }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::Application { .. } => 400,
            Self::Unauthorized(_) => 401,
            Self::Forbidden(_) => 403,
            Self::NotFound(_) => 404,
            Self::MethodNotAllowed(_) => 405,
            Self::NotAcceptable(_) => 406,
            Self::LengthRequired(_) => 411,
            Self::TooLarge(_) => 413,
            Self::TooLong(_) => 414,
            Self::UnsupportedMedia(_) => 415,
            Self::Unavailable(_) => 503,
            Self::Internal { .. } => 500,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, detail) = match self {
            Self::Application { code, detail, .. } => (code.text(), detail.as_str()),
            Self::Unauthorized(detail) => ("Unauthorized", detail.as_str()),
            Self::Forbidden(detail) => ("Forbidden", detail.as_str()),
            Self::NotFound(detail) => ("File Not Found", detail.as_str()),
            Self::MethodNotAllowed(detail) => ("Method Not Allowed", detail.as_str()),
            Self::NotAcceptable(detail) => ("Not Acceptable", detail.as_str()),
            Self::LengthRequired(detail) => ("Length Required", detail.as_str()),
            Self::TooLarge(detail) => ("Request Entity Too Large", detail.as_str()),
            Self::TooLong(detail) => ("Request-URI Too Long", detail.as_str()),
            Self::UnsupportedMedia(detail) => ("Unsupported Media Type", detail.as_str()),
            Self::Unavailable(detail) => ("Service Unavailable", detail.as_str()),
            Self::Internal { id } => {
                return write!(f, "Internal Server Error -- see the service's log for {id}");
            }
        };
        f.write_str(name)?;
        if detail.is_empty() { Ok(()) } else { write!(f, " -- {detail}") }
    }
}

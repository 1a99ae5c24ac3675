//! A service of its own for each test: a real process with a configuration in a temporary
//! directory, on a free port, whose machines are files.
//!
//! `site` is the configuration, `service` the process, `user` a person who talks to it.

mod service;
mod site;
mod user;

pub(crate) use service::{Service, start_refused};
pub(crate) use site::{Site, free_port};
pub(crate) use user::{Answer, User, wid};

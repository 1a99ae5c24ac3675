//! A service of its own for each test: a real process with a configuration in a temporary
//! directory, on a free port, whose machines are files.
//!
//! `site` is the configuration, `service` the process, `user` a person who talks to it.
//! Where files do not suffice, `guest` is a node that ssh reaches, `ipmi_sim` its BMC and
//! `program` the relay that goes there. `mariadb` is the database of the old service.

mod guest;
#[path = "../../src/platform/real/power/tests/ipmi_sim.rs"]
mod ipmi_sim;
mod mariadb;
#[path = "../../src/platform/real/transfer/tests/program.rs"]
mod program;
mod service;
mod site;
mod user;

pub(crate) use guest::{Guest, Loop};
pub(crate) use ipmi_sim::{IpmiSim, PASSWORD, USER};
pub(crate) use mariadb::MariaDb;
pub(crate) use service::{Service, start_refused};
pub(crate) use site::{Site, free_port};
pub(crate) use user::{Answer, User, wid};

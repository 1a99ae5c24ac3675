//! The programs of Kadeploy 3, which are ours called by their names: against answers of the
//! original service, and against our own.
//!
//! `stub` gives those answers and keeps what it was asked; `programs` starts the programs.

mod admin;
mod checklist;
mod common;
mod configuration;
mod console;
mod daemon;
mod deploy;
mod dry;
mod environments;
mod errors;
mod links;
mod operations;
mod ours;
mod people;
mod programs;
mod records;
mod several;
mod stub;
mod terminal;

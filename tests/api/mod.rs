//! The REST interface over the wire, against a real service whose machines are files.

mod bmcs;
mod bodies;
mod busy;
mod cancel;
mod deployment;
mod document;
mod environments;
mod events;
mod formats;
mod groups;
mod hostile;
mod installing;
mod metrics;
mod moved;
mod nodes;
mod options;
mod others;
mod power;
mod reboot;
mod reload;
mod restart;
mod retry;
mod simulated;
mod starting;

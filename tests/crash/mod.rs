//! The real process, killed at any moment.

mod damage;
mod full;
mod kills;
mod nodes;

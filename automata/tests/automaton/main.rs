//! The automaton from outside, under tokio's paused clock.

mod acceptance;
mod breakpoints;
mod journal;
mod limits;
mod model;
mod splice;
mod support;
mod walk;

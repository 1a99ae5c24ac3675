//! The automaton from outside, under tokio's paused clock.

#[cfg(test)]
mod acceptance;
#[cfg(test)]
mod breakpoints;
#[cfg(test)]
mod journal;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod model;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod splice;
#[cfg(test)]
mod support;
#[cfg(test)]
mod walk;

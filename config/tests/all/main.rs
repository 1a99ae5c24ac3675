//! The files as people write them: what loads, what is refused, in which words.

mod docs;
mod fuzz;
mod loads;
mod mistakes;
#[cfg(test)]
mod site;

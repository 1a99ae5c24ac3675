//! Where in a plan something happens.

use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// A step of one level: its name and place in the step list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// Name of the step.
    pub name: Arc<str>,
    /// Index of its position, from 0.
    pub position: u32,
    /// Index among the alternatives of the position, from 0.
    pub alternative: u32,
}

/// The steps that enclose something, outermost first: macro-step, then micro-step.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Path(Arc<[Location]>);

impl Path {
    /// The path of a step `location` inside `self`.
    #[must_use]
    pub fn child(&self, location: Location) -> Self {
        Self(self.0.iter().cloned().chain([location]).collect())
    }

    /// The macro-step: the outermost step.
    pub fn macro_step(&self) -> Option<&Location> {
        self.0.first()
    }

    /// The micro-step: the innermost step, if it lies inside a macro-step.
    pub fn micro_step(&self) -> Option<&Location> {
        self.0.get(1..).and_then(<[Location]>::last)
    }

    /// The innermost step, whatever its level.
    pub fn last(&self) -> Option<&Location> {
        self.0.last()
    }

    /// All the steps, outermost first.
    pub fn steps(&self) -> &[Location] {
        &self.0
    }
}

impl fmt::Display for Path {
    /// `macro-micro`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("-")?;
            }
            f.write_str(&step.name)?;
        }
        Ok(())
    }
}

//! What administrators and users do beside micro-steps: before, after, or in their place.

use super::plan::Instance;
use crate::steps::CustomOperation;
use serde::{Deserialize, Serialize};

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before the micro-step.
    Before,
    /// In its place.
    Instead,
    /// After it.
    After,
}

impl Place {
    /// What the steps of operations there begin with.
    fn prefix(self) -> &'static str {
        match self {
            Self::Before => "custom_pre_",
            Self::Instead => "custom_sub_",
            Self::After => "custom_post_",
        }
    }

    /// The name of the step of `operation` beside `micro`.
    pub fn step_name(self, micro: &str, operation: &str) -> String {
        format!("{}{micro}-{operation}", self.prefix())
    }
}

/// The name of a step as messages have it: that of an operation without its place.
pub fn shown(step: &str) -> &str {
    let places = [Place::Before, Place::Instead, Place::After];
    places.iter().find_map(|place| step.strip_prefix(place.prefix())).unwrap_or(step)
}

/// The operations beside one micro-step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Beside {
    /// Before it.
    pub before: Vec<CustomOperation>,
    /// In its place, if there are any.
    pub instead: Vec<CustomOperation>,
    /// After it.
    pub after: Vec<CustomOperation>,
}

impl Beside {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.before.is_empty() && self.instead.is_empty() && self.after.is_empty()
    }

    /// Those at `place`.
    pub fn at(&self, place: Place) -> &[CustomOperation] {
        match place {
            Place::Before => &self.before,
            Place::Instead => &self.instead,
            Place::After => &self.after,
        }
    }
}

/// The operations of a user beside one micro-step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Custom {
    /// All instances whose names begin with this.
    pub macro_step: String,
    /// The micro-step.
    pub micro: String,
    /// The administrator's operations there are left out.
    pub overrides: bool,
    /// What is done.
    pub beside: Beside,
}

impl Custom {
    /// Adds them to the instances they are meant for.
    pub(super) fn add(self, positions: &mut [Vec<Instance>]) {
        let named = |one: &&mut Instance| one.name.starts_with(&self.macro_step);
        for instance in positions.iter_mut().flatten().filter(named) {
            let limits = instance.micro.entry(self.micro.clone()).or_default();
            if self.overrides {
                limits.beside = Beside::default();
            }
            limits.beside.before.extend(self.beside.before.iter().cloned());
            limits.beside.instead.extend(self.beside.instead.iter().cloned());
            limits.beside.after.extend(self.beside.after.iter().cloned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        platform::Level,
        steps::CustomAction,
        workflows::{Breakpoint, Facts, Limits, Wish, outline},
    };
    use std::{collections::BTreeMap, time::Duration};

    fn operation(name: &str) -> CustomOperation {
        let action = CustomAction::Exec { command: "true".into() };
        CustomOperation {
            name: name.into(),
            action,
            timeout: Some(Duration::from_secs(9)),
            retries: 2,
        }
    }

    fn beside(names: [&str; 3]) -> Beside {
        let list = |names: &str| names.split_whitespace().map(operation).collect();
        Beside { before: list(names[0]), instead: list(names[1]), after: list(names[2]) }
    }

    /// The steps of a deployment of dummies in which administrator and user have operations.
    fn steps(user: &str, overrides: bool, stops: Option<&str>) -> Vec<(String, u32)> {
        let dummy = |step: &str, admin| {
            let limits = Limits { beside: beside(["admin", "", "last"]), ..Limits::default() };
            let micro =
                if admin { BTreeMap::from([("dummy".into(), limits)]) } else { BTreeMap::new() };
            vec![Instance { name: format!("{step}Dummy"), micro, ..Instance::default() }]
        };
        let wish = Wish {
            positions: vec![
                dummy("SetDeploymentEnv", true),
                dummy("BroadcastEnv", false),
                dummy("BootNewEnv", false),
            ],
            facts: Facts::default(),
            reboot: Duration::ZERO,
            kexec: Duration::ZERO,
            level: Level::Soft,
            breakpoint: stops.map(|text| Breakpoint::parse(text).unwrap()),
            custom: vec![Custom {
                macro_step: "SetDeploymentEnv".into(),
                micro: "dummy".into(),
                overrides,
                beside: beside([user, "", ""]),
            }],
        };
        let limits = outline(wish).unwrap().compile().unwrap().limits();
        let first = limits.iter().filter_map(|step| {
            let [outer, inner] = step.path.steps() else { return None };
            let first = &*outer.name == "SetDeploymentEnvDummy";
            first.then(|| (inner.position, inner.name.to_string(), step.retries))
        });
        let mut first: Vec<_> = first.collect();
        first.sort();
        first.into_iter().map(|(_, name, retries)| (name, retries)).collect()
    }

    #[test]
    fn operations_stand_around_every_occurrence_of_their_micro_step() {
        let names =
            |list: Vec<(String, u32)>| list.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let [admin, user, last] =
            ["custom_pre_dummy-admin", "custom_pre_dummy-user", "custom_post_dummy-last"];
        let one = [admin, user, "dummy", last];
        assert_eq!(names(steps("user", false, None)), [one, one].concat());
        assert!(steps("user", false, None).contains(&(user.to_owned(), 2)), "its own retries");
        assert_eq!(names(steps("user", true, None)), [user, "dummy", user, "dummy"]);
        // A breakpoint takes the administrator's away, and leaves the user's.
        let stopped = steps("user", false, Some("SetDeploymentEnv:dummy"));
        assert_eq!(names(stopped), [user, "dummy", user, "dummy"]);
        assert_eq!(shown(admin), "dummy-admin");
        assert_eq!(shown("dummy"), "dummy");
    }
}

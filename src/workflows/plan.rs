//! Catalogue, filters, limits and breakpoints made into one plan.

use super::{
    catalogue::{MACRO_STEPS, Times, canonical, known_instance, known_micro_step, micro_steps},
    custom::{Beside, Custom, Place},
    filters::Facts,
};
use crate::{
    platform::Level,
    steps::{CustomOperation, CustomStep, Micro, Run, Step},
};
use automata::{Context, NodeSet, Outcome, Plan, Position, Recovery, Task, splice};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

/// Bound of a micro-step that has none of its own: nothing waits for ever.
const STEP_LIMIT: Duration = Duration::from_secs(3600);

/// What `wait_reboot` may take beyond its own bound before the automaton ends it.
const MARGIN: Duration = Duration::from_secs(10);

/// One way through a macro-step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its full name, `BroadcastEnvChain`.
    pub name: String,
    /// Further attempts.
    pub retries: u32,
    /// Bound of one attempt.
    pub timeout: Option<Duration>,
    /// Its nodes need not leave together.
    pub raisable: bool,
    /// Stop before it.
    pub breakpoint: bool,
    /// What the configuration says of its micro-steps, by name.
    pub micro: BTreeMap<String, Limits>,
}

/// What the configuration says of one micro-step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bound of one attempt.
    pub timeout: Option<Duration>,
    /// Further attempts.
    pub retries: u32,
    /// Nodes that end here leave the macro-step at once.
    pub raisable: bool,
    /// Stop before it.
    pub breakpoint: bool,
    /// What is done beside it.
    #[serde(default, skip_serializing_if = "Beside::is_empty")]
    pub beside: Beside,
}

impl Default for Limits {
    fn default() -> Self {
        let beside = Beside::default();
        Self { timeout: None, retries: 0, raisable: true, breakpoint: false, beside }
    }
}

/// A plan that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unplannable {
    /// No such instance.
    #[error("Invalid macrostep name '{0}'")]
    Macro(String),
    /// No such micro-step.
    #[error("Invalid microstep name '{0}'")]
    Micro(String),
    /// The breakpoint's macro-step is not part of the operation.
    #[error("The step '{0}' is not used during the operation")]
    Unused(String),
    /// All micro-steps of an instance were filtered out.
    #[error("nothing is left to do in macro-step '{0}'")]
    Empty(String),
}

/// Where a request wants to stop: `Macro` or `Macro:micro`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breakpoint {
    /// Name of an instance, or of a macro-step: all its instances.
    macro_step: String,
    /// Before this micro-step; before the macro-step if none.
    micro: Option<String>,
}

impl Breakpoint {
    /// Understands `text`.
    pub fn parse(text: &str) -> Result<Self, Unplannable> {
        let (macro_step, micro) = match text.split_once(':') {
            Some((macro_step, micro)) => (macro_step, Some(micro)),
            None => (text, None),
        };
        let macro_step = &*canonical(macro_step);
        if !known_instance(macro_step) && !MACRO_STEPS.contains(&macro_step) {
            return Err(Unplannable::Macro(macro_step.to_owned()));
        }
        if let Some(micro) = micro.filter(|micro| !known_micro_step(micro)) {
            return Err(Unplannable::Micro(micro.to_owned()));
        }
        Ok(Self { macro_step: macro_step.to_owned(), micro: micro.map(str::to_owned) })
    }

    fn names(&self, instance: &str) -> bool {
        let general = MACRO_STEPS.contains(&self.macro_step.as_str());
        instance == self.macro_step || (general && instance.starts_with(&self.macro_step))
    }

    /// Puts the breakpoint on the instances it names.
    fn set(&self, positions: &mut [Vec<Instance>]) -> Result<(), Unplannable> {
        let mut used = false;
        for instance in positions.iter_mut().flatten().filter(|one| self.names(&one.name)) {
            used = true;
            match &self.micro {
                None => instance.breakpoint = true,
                Some(micro) => {
                    let limits = Limits { breakpoint: true, ..Limits::default() };
                    instance.micro.insert(micro.clone(), limits);
                }
            }
        }
        if used { Ok(()) } else { Err(Unplannable::Unused(self.to_string())) }
    }
}

impl fmt::Display for Breakpoint {
    /// As [`Breakpoint::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.macro_step)?;
        self.micro.as_ref().map_or(Ok(()), |micro| write!(f, ":{micro}"))
    }
}

/// What is planned.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Wish {
    /// The ways through each macro-step, in order of fallback.
    pub positions: Vec<Vec<Instance>>,
    /// What the filters look at.
    pub facts: Facts,
    /// Bound of a boot through the firmware.
    pub reboot: Duration,
    /// Bound of a boot from kernel to kernel.
    pub kexec: Duration,
    /// How hard a reboot or a power order begins.
    pub level: Level,
    /// Where to stop.
    pub breakpoint: Option<Breakpoint>,
    /// What the user does beside micro-steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub custom: Vec<Custom>,
}

impl Wish {
    /// Where the breakpoint stops nobody, as a note for the user: instances that it names
    /// and that have no such micro-step, or one without anything to do in this operation.
    pub fn idle_breakpoint(&self) -> Option<String> {
        let breakpoint = self.breakpoint.as_ref()?;
        let micro = breakpoint.micro.as_deref()?;
        let named = self.positions.iter().flatten().filter(|one| breakpoint.names(&one.name));
        let without = named.filter_map(|one| {
            let names = self.micro_names(&one.name);
            let text = || format!("{}, whose micro-steps here are {}", one.name, names.join(", "));
            (!names.contains(&micro)).then(text)
        });
        let without: Vec<String> = without.collect();
        (!without.is_empty())
            .then(|| format!("the breakpoint {breakpoint} stops no node in {}", without.join("; ")))
    }

    /// The micro-steps of `instance` that have something to do.
    fn micro_names(&self, instance: &str) -> Vec<&'static str> {
        let all = micro_steps(instance, self.times()).unwrap_or_default();
        all.iter().filter(|micro| self.facts.keep(instance, micro)).map(Micro::name).collect()
    }

    fn times(&self) -> Times {
        Times { reboot: self.reboot, kexec: self.kexec, level: self.level }
    }
}

/// Makes the plan of one workflow; its steps do their work with what `run` knows.
pub fn plan(wish: Wish, run: &Arc<Run>) -> Result<Plan, Unplannable> {
    build(wish, run)
}

/// Makes the plan of one workflow with steps that do nothing: to be looked at.
pub fn outline(wish: Wish) -> Result<Plan, Unplannable> {
    build(wish, &Nothing)
}

/// Where the treatments behind micro-steps come from.
trait Treatments {
    fn step(&self, micro: Micro) -> automata::Step;

    /// `operation`, called `name`, beside `micro`.
    fn custom(&self, name: String, operation: CustomOperation, micro: &Micro) -> automata::Step;

    /// `micro` of `instance` has nothing to do.
    fn bypassed(&self, _instance: &str, _micro: &Micro) {}
}

impl Treatments for Arc<Run> {
    fn step(&self, micro: Micro) -> automata::Step {
        automata::Step::task(micro.name(), Step::new(micro, Self::clone(self)))
    }

    fn custom(&self, name: String, operation: CustomOperation, micro: &Micro) -> automata::Step {
        let step = CustomStep::new(operation, micro.clone(), Self::clone(self));
        automata::Step::task(name, step)
    }

    fn bypassed(&self, instance: &str, micro: &Micro) {
        let text = format!(" * Bypassing the step {instance}-{}", micro.name());
        self.journalist.message(5, text);
    }
}

/// Succeeds without doing anything.
struct Nothing;

#[async_trait::async_trait]
impl Task for Nothing {
    fn recovery(&self) -> Recovery {
        Recovery::Rerun
    }

    async fn run(&self, nodes: NodeSet, _: Context) -> Outcome {
        Outcome::ok(nodes)
    }
}

impl Treatments for Nothing {
    fn step(&self, micro: Micro) -> automata::Step {
        automata::Step::task(micro.name(), Self)
    }

    fn custom(&self, name: String, _: CustomOperation, _: &Micro) -> automata::Step {
        automata::Step::task(name, Self)
    }
}

fn build(mut wish: Wish, treatments: &impl Treatments) -> Result<Plan, Unplannable> {
    if let Some(breakpoint) = wish.breakpoint.take() {
        breakpoint.set(&mut wish.positions)?;
    }
    // After the breakpoint, which takes away what the configuration says of its micro-step.
    for custom in std::mem::take(&mut wish.custom) {
        custom.add(&mut wish.positions);
    }
    let times = wish.times();
    let position = |(index, instances): (usize, &Vec<Instance>)| {
        let name = if wish.positions.len() == MACRO_STEPS.len() {
            MACRO_STEPS[index]
        } else {
            instances.first().map_or("", |one| one.name.as_str())
        };
        let ways = instances.iter().map(|one| way(one, &wish.facts, times, treatments));
        Ok(Position::new(name, ways.collect::<Result<Vec<_>, _>>()?))
    };
    Ok(Plan::new(wish.positions.iter().enumerate().map(position).collect::<Result<Vec<_>, _>>()?))
}

/// One instance as a macro-step.
fn way(
    instance: &Instance,
    facts: &Facts,
    times: Times,
    treatments: &impl Treatments,
) -> Result<automata::Step, Unplannable> {
    let name = &instance.name;
    let micro = micro_steps(name, times).ok_or_else(|| Unplannable::Macro(name.clone()))?;
    let (mut positions, mut all) = (Vec::new(), MARGIN);
    for micro in micro {
        if !facts.keep(name, &micro) {
            treatments.bypassed(name, &micro);
            continue;
        }
        let limits = instance.micro.get(micro.name()).cloned().unwrap_or_default();
        let bound = match (&micro, limits.timeout) {
            (_, Some(bound)) => bound,
            (Micro::WaitReboot { timeout, .. }, None) => *timeout + MARGIN,
            _ => STEP_LIMIT,
        };
        all = all.saturating_add(bound.saturating_mul(limits.retries.saturating_add(1)));
        let step = treatments
            .step(micro.clone())
            .timeout(bound)
            .retries(limits.retries)
            .raisable(limits.raisable)
            .breakpoint(limits.breakpoint);
        let mut beside = |place: Place| {
            let operations = limits.beside.at(place).iter();
            let custom = operations.map(|one| {
                let bound = one.timeout.unwrap_or(STEP_LIMIT);
                all = all.saturating_add(bound.saturating_mul(one.retries.saturating_add(1)));
                let name = place.step_name(micro.name(), &one.name);
                let step = treatments.custom(name, one.clone(), &micro);
                step.timeout(bound).retries(one.retries)
            });
            custom.collect::<Vec<_>>()
        };
        let [pre, instead, post] = [Place::Before, Place::Instead, Place::After].map(&mut beside);
        positions.extend(splice(Position::from(step), pre, instead, post));
    }
    if positions.is_empty() {
        return Err(Unplannable::Empty(name.clone()));
    }
    let mut way = automata::Step::plan(name.as_str(), Plan::new(positions))
        .retries(instance.retries)
        .raisable(instance.raisable)
        .breakpoint(instance.breakpoint);
    // Nothing waits for ever: without a limit of its own it has that of all inside.
    way.timeout = instance.timeout.or(Some(all));
    Ok(way)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_step_of_any_instance_waits_for_ever() {
        let instance = |name: String| Instance { name, ..Instance::default() };
        let kinds = [
            "Untrusted",
            "UntrustedCustomPreInstall",
            "Trusted",
            "Nfsroot",
            "Prod",
            "Chain",
            "Tree",
            "Kascade",
            "Kastafior",
            "Classical",
            "Kexec",
            "HardReboot",
            "Dummy",
        ];
        let ways = kinds.map(|kind| MACRO_STEPS.map(|macro_step| format!("{macro_step}{kind}")));
        let operations = ["Simple", "SetPXE", "RecordedEnv", "DeployEnv", "On", "Off", "Status"]
            .map(str::to_owned);
        let names = ways.into_iter().flatten().chain(operations);
        let known: Vec<_> = names.filter(|name| known_instance(name)).map(instance).collect();
        assert!(known.len() > 10, "{known:?}");
        let wish = Wish {
            positions: known.into_iter().map(|one| vec![one]).collect(),
            facts: Facts { mountable: true, pre_install: true, ..Facts::default() },
            reboot: Duration::from_secs(1),
            kexec: Duration::from_secs(1),
            level: Level::Soft,
            breakpoint: None,
            custom: Vec::new(),
        };
        let automaton = outline(wish).unwrap().compile().unwrap();
        assert!(automaton.limits().len() > 40, "{:?}", automaton.limits());
        assert_eq!(automaton.unbounded(), []);
    }
}

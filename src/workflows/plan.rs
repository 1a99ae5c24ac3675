//! Catalogue, filters, limits and breakpoints made into one plan.

use super::{
    catalogue::{MACRO_STEPS, Times, known_instance, known_micro_step, micro_steps},
    filters::Facts,
};
use crate::{
    platform::Level,
    steps::{Micro, Run, Step},
};
use automata::{Context, NodeSet, Outcome, Plan, Position, Recovery, Task};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Bound of a micro-step that has none of its own: nothing waits for ever.
const STEP_LIMIT: Duration = Duration::from_secs(3600);

/// What `wait_reboot` may take beyond its own bound before the automaton ends it.
const MARGIN: Duration = Duration::from_secs(10);

/// One way through a macro-step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    pub micro: HashMap<String, Limits>,
}

/// What the configuration says of one micro-step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bound of one attempt.
    pub timeout: Option<Duration>,
    /// Further attempts.
    pub retries: u32,
    /// Nodes that end here leave the macro-step at once.
    pub raisable: bool,
    /// Stop before it.
    pub breakpoint: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { timeout: None, retries: 0, raisable: true, breakpoint: false }
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
        let text = || match &self.micro {
            Some(micro) => format!("{}:{micro}", self.macro_step),
            None => self.macro_step.clone(),
        };
        if used { Ok(()) } else { Err(Unplannable::Unused(text())) }
    }
}

/// What is planned.
#[derive(Clone, Debug)]
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

    /// `micro` of `instance` has nothing to do.
    fn bypassed(&self, _instance: &str, _micro: &Micro) {}
}

impl Treatments for Arc<Run> {
    fn step(&self, micro: Micro) -> automata::Step {
        automata::Step::task(micro.name(), Step::new(micro, Self::clone(self)))
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
}

fn build(mut wish: Wish, treatments: &impl Treatments) -> Result<Plan, Unplannable> {
    if let Some(breakpoint) = wish.breakpoint.take() {
        breakpoint.set(&mut wish.positions)?;
    }
    let times = Times { reboot: wish.reboot, kexec: wish.kexec, level: wish.level };
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
    let mut steps = Vec::new();
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
        steps.push(
            treatments
                .step(micro)
                .timeout(bound)
                .retries(limits.retries)
                .raisable(limits.raisable)
                .breakpoint(limits.breakpoint),
        );
    }
    if steps.is_empty() {
        return Err(Unplannable::Empty(name.clone()));
    }
    let mut way = automata::Step::plan(name.as_str(), Plan::sequence(steps))
        .retries(instance.retries)
        .raisable(instance.raisable)
        .breakpoint(instance.breakpoint);
    way.timeout = instance.timeout;
    Ok(way)
}

//! What a person sees of an operation while it runs.

use super::{print::tell, tracker::Tracker, write_out};
use crate::types::Event;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    collections::HashMap,
    io::{IsTerminal, stderr},
    time::Duration,
};

/// Most nodes that get a line each: more do not fit on a screen.
const MOST_LINES: usize = 20;

/// How often a line shows its time anew.
const TICK: Duration = Duration::from_millis(200);

/// Shows an operation.
pub trait View: Send {
    /// These nodes are concerned.
    fn begin(&mut self, _nodes: &[String]) {}

    /// A message of the service.
    fn line(&mut self, text: &str);

    /// Something happened.
    fn event(&mut self, _event: &Event) {}

    /// The operation has ended.
    fn end(&mut self) {}
}

/// Messages to standard error.
pub struct Lines;

impl View for Lines {
    fn line(&mut self, text: &str) {
        tell(text);
    }
}

/// Messages to standard output, where they are what was asked for.
pub struct DataLines;

impl View for DataLines {
    fn line(&mut self, text: &str) {
        // A reader that has gone ends the process at the next signal or at the end.
        let _ = write_out(&format!("{text}\n"));
    }
}

/// The part of the terminal that bars use. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Screen(Option<MultiProgress>);

impl Screen {
    /// The terminal, if standard error is one that can draw. On others (`TERM=dumb`) bars
    /// would show nothing, messages neither.
    pub fn new() -> Self {
        let area = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        Self((stderr().is_terminal() && !area.is_hidden()).then_some(area))
    }

    /// A view that suits it.
    pub fn view(&self) -> Box<dyn View> {
        match &self.0 {
            Some(area) => Box::new(Bars::new(area.clone())),
            None => Box::new(Lines),
        }
    }

    /// Takes the bars away, for a question.
    pub fn hide(&self) {
        if let Some(area) = &self.0 {
            // There is nobody left to see it if this fails.
            let _ = area.clear();
            area.set_draw_target(ProgressDrawTarget::hidden());
        }
    }

    /// Puts them back.
    pub fn show(&self) {
        if let Some(area) = &self.0 {
            area.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

/// A line for each node, or one for all where there are many.
pub struct Bars {
    area: MultiProgress,
    tracker: Tracker,
    lines: HashMap<String, ProgressBar>,
    summary: Option<ProgressBar>,
}

impl Bars {
    fn new(area: MultiProgress) -> Self {
        Self { area, tracker: Tracker::default(), lines: HashMap::new(), summary: None }
    }

    fn bar(&self, name: &str, width: usize) -> ProgressBar {
        let bar = self.area.add(ProgressBar::new_spinner());
        let style = ProgressStyle::with_template("{spinner} {prefix} {elapsed:>4} {wide_msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_prefix(format!("{name:<width$}"));
        bar.enable_steady_tick(TICK);
        bar
    }
}

impl View for Bars {
    fn begin(&mut self, nodes: &[String]) {
        self.tracker.begin(nodes);
        if nodes.len() > MOST_LINES {
            self.summary = Some(self.bar("", 0));
            return;
        }
        let width = nodes.iter().map(|name| name.chars().count()).max().unwrap_or_default();
        for name in nodes {
            self.lines.insert(name.clone(), self.bar(name, width));
        }
    }

    fn line(&mut self, text: &str) {
        // There is nobody left to see it if this fails.
        let _ = self.area.println(text);
    }

    fn event(&mut self, event: &Event) {
        let nodes = self.tracker.event(event);
        if let (Some(summary), false) = (&self.summary, nodes.is_empty()) {
            summary.set_message(self.tracker.summary());
        }
        for node in &nodes {
            let Some(bar) = self.lines.get(node) else { continue };
            let text = self.tracker.describe(node);
            if self.tracker.ended(node) {
                bar.finish_with_message(text);
            } else {
                bar.set_message(text);
            }
        }
    }

    fn end(&mut self) {
        self.lines.values().chain(&self.summary).for_each(ProgressBar::finish_and_clear);
    }
}

//! Draws an automaton for Graphviz.

use crate::{
    Automaton,
    automaton::{Vertex, Way},
};
use petgraph::{graph::NodeIndex, visit::EdgeRef};
use std::fmt::{self, Write};

impl Automaton {
    /// A Graphviz drawing: macro-steps are clusters, retries and fallbacks are edges.
    pub fn dot(&self) -> String {
        let mut text = String::from("digraph automaton {\n  rankdir=LR;\n  node [shape=box];\n");
        // Writing to a string cannot fail.
        draw(self, "n", 1, &mut text).ok();
        text.push_str("}\n");
        text
    }
}

fn draw(automaton: &Automaton, prefix: &str, depth: usize, out: &mut String) -> fmt::Result {
    let pad = "  ".repeat(depth);
    let graph = &automaton.graph;
    for at in graph.node_indices() {
        let id = format!("{prefix}_{}", at.index());
        match &graph[at] {
            Vertex::Gate { retries } => {
                let label = match retries {
                    0 => "once".to_owned(),
                    1 => "1 retry".to_owned(),
                    more => format!("{more} retries"),
                };
                writeln!(out, "{pad}{id} [shape=diamond, label=\"{label}\"];")?;
            }
            Vertex::Passed => writeln!(out, "{pad}{id} [shape=oval, label=\"passed\"];")?,
            Vertex::GaveUp => writeln!(out, "{pad}{id} [shape=oval, label=\"gave up\"];")?,
            Vertex::Work(work) => {
                let mut label = escape(&work.location.name);
                if let Some(limit) = work.timeout {
                    write!(label, "\\n{} s", limit.as_secs_f64())?;
                }
                if work.breakpoint {
                    label.push_str("\\nbreakpoint");
                }
                if let Some(inner) = &work.inner {
                    writeln!(out, "{pad}subgraph cluster_{id} {{\n{pad}  label=\"{label}\";")?;
                    writeln!(out, "{pad}  {id} [shape=point];")?;
                    draw(inner, &id, depth + 1, out)?;
                    writeln!(out, "{pad}  {id} -> {};", first(inner, &id))?;
                    writeln!(out, "{pad}}}")?;
                } else {
                    writeln!(out, "{pad}{id} [label=\"{label}\"];")?;
                }
            }
        }
    }
    for edge in graph.edge_references() {
        let (from, to) = (edge.source().index(), edge.target().index());
        let label = edge_label(automaton, edge.source(), edge.target(), *edge.weight());
        writeln!(out, "{pad}{prefix}_{from} -> {prefix}_{to}{label};")?;
    }
    Ok(())
}

/// What an edge means, as its attributes.
fn edge_label(automaton: &Automaton, from: NodeIndex, to: NodeIndex, way: Way) -> &'static str {
    match (way, &automaton.graph[from], &automaton.graph[to]) {
        (Way::Ok, ..) => "",
        (Way::Ko, Vertex::Work(_), _) => " [style=dashed, label=\"failed\"]",
        (Way::Ko, _, Vertex::GaveUp) => " [style=dotted, label=\"give up\"]",
        (Way::Ko, ..) => " [style=dotted, label=\"fall back\"]",
    }
}

fn first(automaton: &Automaton, prefix: &str) -> String {
    format!("{prefix}_{}", automaton.start().index())
}

fn escape(name: &str) -> String {
    name.replace('\\', "\\\\").replace('"', "\\\"")
}

//! The goals as bars: ours, the rival's, and a mark where the goal is.

use super::Goal;
use std::fmt::Write;

const WIDTH: f64 = 860.0;
/// Where the bars begin, and how long the longest is.
const LEFT: f64 = 330.0;
const LONGEST: f64 = 330.0;
const BAR: f64 = 13.0;
const ROW: f64 = 46.0;

/// A chart in SVG 1.1; each goal has a scale of its own.
pub(super) fn svg(goals: &[Goal]) -> String {
    let rows = f64::from(u32::try_from(goals.len()).unwrap_or(u32::MAX));
    let height = rows * ROW + 10.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let mut top = 10.0;
    for goal in goals {
        row(&mut svg, goal, top);
        top += ROW;
    }
    svg + "</svg>\n"
}

fn row(svg: &mut String, goal: &Goal, top: f64) {
    let Goal { name, value, unit, rival, rival_value, met, bound, .. } = goal;
    let most = value.max(rival_value.unwrap_or(0.0)).max(*bound);
    let scale = |value: f64| LEFT + value / most * LONGEST;
    text(svg, LEFT - 10.0, top + BAR + 4.0, "end", name);
    let ours = if *met { "#2a7f4f" } else { "#c0392b" };
    bar(svg, top, scale(*value), ours, &format!("{} {unit}", short(*value)));
    if let (Some(rival), Some(value)) = (rival, rival_value) {
        let words = format!("{} {unit}, {rival}", short(*value));
        bar(svg, top + BAR + 3.0, scale(*value), "#b8bec6", &words);
    }
    let (at, end) = (scale(*bound), top + 2.0 * BAR + 6.0);
    let _ = writeln!(
        svg,
        "<line x1=\"{at:.1}\" y1=\"{:.1}\" x2=\"{at:.1}\" y2=\"{end:.1}\" stroke=\"#222\" \
         stroke-dasharray=\"3 2\"/>",
        top - 3.0
    );
}

fn bar(svg: &mut String, top: f64, end: f64, colour: &str, words: &str) {
    let _ = writeln!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>",
        (end - LEFT).max(1.0)
    );
    text(svg, end + 6.0, top + BAR - 2.0, "start", words);
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ =
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>");
}

/// Three digits that matter.
fn short(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

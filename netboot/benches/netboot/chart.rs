//! A chart of what was measured: for each case a bar for each server, as long as the processor time it
//! took. Bars of one case are to one scale.

use crate::{
    cases::{Row, Unit},
    report::cost,
};
use std::fmt::Write;

const WIDTH: f64 = 760.0;
/// Where bars begin, and the longest.
const LEFT: f64 = 330.0;
const BAR: f64 = 340.0;
const LINE: f64 = 18.0;
const FONT: &str = "font-family='sans-serif' font-size='12'";

/// The chart as SVG.
pub(crate) fn draw(rows: &[Row]) -> String {
    let mut body = String::new();
    let mut top = 24.0;
    let mut case = "";
    for row in rows {
        if row.case.name != case {
            case = row.case.name;
            top += LINE / 2.0;
            text(&mut body, 8.0, top, "start", case);
        }
        let of_case = rows.iter().filter(|other| other.case.name == case);
        let most = of_case.map(cost).fold(f64::MIN_POSITIVE, f64::max);
        let (value, length) = (cost(row), (cost(row) / most * BAR).max(1.0));
        let colour = if row.server == "kadence" { "#2a6f97" } else { "#b0b7bd" };
        let y = top - 11.0;
        writeln!(
            body,
            "<rect x='{LEFT}' y='{y}' width='{length:.0}' height='14' fill='{colour}'/>"
        )
        .ok();
        text(&mut body, LEFT - 6.0, top, "end", row.server);
        let label = match row.case.unit {
            Unit::Bytes => format!("{value:.2} s/GB"),
            Unit::Requests => format!("{value:.0} us each"),
        };
        text(&mut body, LEFT + length + 6.0, top, "start", &label);
        top += LINE;
    }
    let title = "Processor time of the server: shorter is better";
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{top}' {FONT}>\n\
         <rect width='100%' height='100%' fill='white'/>\n\
         <text x='8' y='18' font-weight='bold'>{title}</text>\n{body}</svg>\n"
    )
}

fn text(body: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    // Names of cases and servers have nothing that SVG would take for its own.
    writeln!(body, "<text x='{x:.0}' y='{y}' text-anchor='{anchor}'>{text}</text>").ok();
}

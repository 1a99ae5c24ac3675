//! What the measurements are compared with, and a picture of them.

use super::{Case, Figures};
use serde_json::{Value, json};

/// A goal, in the form that all benches have.
fn goal(name: &str, unit: &str, value: f64, rival: (&str, f64), bound: f64) -> Value {
    let (rival, rival_value) = rival;
    let ratio = value / rival_value;
    json!({
        "name": name, "value": value, "unit": unit, "rival": rival, "rival_value": rival_value,
        "ratio": ratio, "goal": format!("<= {bound}"), "met": ratio <= bound,
    })
}

/// Of all cases: each beside one copy, deaths beside the same without them, and where processors
/// are the limit, beside udpcast and a bound of their time.
pub(super) fn goals(all: &[Figures]) -> Vec<Value> {
    let mut goals = Vec::new();
    for figures in all {
        let (Case { killed, .. }, name) = (figures.case, figures.name());
        let unhurt = all.iter().find(|one| one.case == Case { killed: 0, ..figures.case });
        match (killed, unhurt) {
            (1.., Some(unhurt)) => {
                let rival = ("the same, nobody killed", unhurt.relay.wall);
                goals.push(goal(&name, "s", figures.relay.wall, rival, 1.1));
            }
            _ if figures.case.is_of_processors() => {
                let cpu = goal(
                    &format!("processor time of {name}, per node and GB"),
                    "s",
                    figures.relay.cpu,
                    ("the bound", 1.6),
                    1.0,
                );
                goals.push(cpu);
                if let Some(udpcast) = figures.udpcast {
                    let rival = ("udpcast", udpcast.wall);
                    goals.push(goal(&name, "s", figures.relay.wall, rival, 1.0));
                }
            }
            _ => {
                let rival = ("one copy over TCP", figures.copy.wall);
                goals.push(goal(&name, "s", figures.relay.wall, rival, 1.04));
            }
        }
    }
    goals
}

/// Bars: how often the time of one copy each way took.
pub(super) fn chart(all: &[Figures]) -> String {
    const SCALE: f64 = 90.0;
    let mut bars = String::new();
    let mut y = 30.0;
    for figures in all {
        bars += &format!("<text x=\"8\" y=\"{y}\">{}</text>\n", figures.name());
        let udpcast = figures.udpcast.map(|run| ("udpcast", run, "#bbbbbb"));
        for (way, run, colour) in [("relay", figures.relay, "#3366aa")].into_iter().chain(udpcast) {
            y += 16.0;
            let ratio = run.wall / figures.copy.wall;
            let width = (ratio * SCALE).min(480.0);
            bars += &format!(
                "<rect x=\"8\" y=\"{}\" width=\"{width:.0}\" height=\"12\" fill=\"{colour}\"/>\
                 <text x=\"{:.0}\" y=\"{}\">{way} {ratio:.2}</text>\n",
                y - 10.0,
                width + 14.0,
                y,
            );
        }
        y += 24.0;
    }
    let line = 8.0 + SCALE;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"640\" height=\"{y}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<text x=\"8\" y=\"12\">time of a broadcast / time of one copy over the \
         same link (line: 1)</text>\n{bars}<line x1=\"{line}\" x2=\"{line}\" y1=\"18\" y2=\"{}\" \
         stroke=\"black\" stroke-dasharray=\"3\"/>\n</svg>\n",
        y - 20.0,
    )
}

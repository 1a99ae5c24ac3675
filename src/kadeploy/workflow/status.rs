//! What Enter shows: where the nodes are.

use serde_json::Value;

/// The status of an operation that was polled just now.
pub(super) fn text(title: &str, poll: &Value, status: &Value) -> String {
    let seconds = poll["time"].as_f64().unwrap_or_default();
    let mut text = format!("---\n{title} status ({seconds:.0}s):\n");
    for (_, macros) in status.as_object().into_iter().flatten() {
        for (macro_step, micros) in macros.as_object().into_iter().flatten() {
            // Between the steps there are lists of nodes, which have left them.
            for (micro, step) in micros.as_object().into_iter().flatten() {
                step_text(&mut text, &format!("{macro_step}-{micro}"), step);
            }
        }
    }
    text + "---"
}

fn step_text(text: &mut String, name: &str, step: &Value) {
    let seconds = step["time"].as_f64().unwrap_or_default();
    for (how, nodes) in step["nodes"].as_object().into_iter().flatten() {
        let nodes: Vec<_> =
            nodes.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if !nodes.is_empty() {
            *text += &format!("[{name}] ~{seconds:.0}s ({how})\n");
            for node in nodes {
                *text += &format!("  {node}\n");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_node_is_at_its_step() {
        let status = json!({
            "beta": {
                "SetDeploymentEnvDummy": {
                    "dummy": {"nodes": {"OK": [], "KO": ["b"], "**": ["a"]}, "time": 3},
                    "OK": ["c"],
                },
                "OK": [],
            },
        });
        let text = text("Deployment", &json!({"time": 4.4}), &status);
        let expected = "---\nDeployment status (4s):\n[SetDeploymentEnvDummy-dummy] ~3s (KO)\n  b\n\
                        [SetDeploymentEnvDummy-dummy] ~3s (**)\n  a\n---";
        assert_eq!(text, expected);
    }
}

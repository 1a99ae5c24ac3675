//! `--server-info`.

use super::options::wrap;
use serde_json::Value;

/// What a server offers, in lines of at most `columns`.
pub(super) fn lines(info: &Value, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(method) = info["pxe"].as_str() {
        lines.push(format!("Custom PXE boot method: {method}"));
    }
    if let Some(clusters) = info["automata"].as_object() {
        lines.push("Automata configuration:".to_owned());
        for (cluster, kinds) in clusters {
            lines.push(format!("  {cluster}:"));
            let kinds = kinds.as_object().into_iter().flatten();
            lines.extend(kinds.map(|(kind, list)| format!("    {kind}: {}", instances(list))));
        }
    }
    if let Some(clusters) = info["supported_fs"].as_object() {
        lines.push("Supported file systems:".to_owned());
        lines.extend(
            clusters.iter().map(|(name, list)| format!("  {name}: {}", joined(list, ", "))),
        );
    }
    if info["vars"].is_array() {
        lines.push("Variables exported to custom scripts:".to_owned());
        let wrapped = wrap(&joined(&info["vars"], " "), columns.saturating_sub(2).max(20));
        lines.extend(wrapped.iter().map(|line| format!("  {line}")));
    }
    lines
}

/// `name,retries,timeout; …`.
fn instances(list: &Value) -> String {
    let one = |one: &Value| {
        let of = |name: &str| plain(&one[name]);
        format!("{},{},{}", of("name"), of("retries"), of("timeout"))
    };
    list.as_array().into_iter().flatten().map(one).collect::<Vec<_>>().join("; ")
}

fn joined(list: &Value, between: &str) -> String {
    list.as_array().into_iter().flatten().map(plain).collect::<Vec<_>>().join(between)
}

/// A text without its quotes; everything else as JSON.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn everything_is_told() {
        let instance = json!({"name": "Dummy", "retries": 1, "timeout": 20});
        let info = json!({
            "pxe": "PXElinux",
            "automata": {"alpha": {"BootNewEnv": [instance, instance]}},
            "supported_fs": {"alpha": ["ext2", "ext4"]},
            "vars": ["KADEPLOY_CLUSTER", "KADEPLOY_ENV"],
        });
        let text = lines(&info, 22).join("\n");
        assert_eq!(
            text,
            "Custom PXE boot method: PXElinux\nAutomata configuration:\n  alpha:\n    \
             BootNewEnv: Dummy,1,20; Dummy,1,20\nSupported file systems:\n  alpha: ext2, ext4\n\
             Variables exported to custom scripts:\n  KADEPLOY_CLUSTER\n  KADEPLOY_ENV"
        );
    }
}

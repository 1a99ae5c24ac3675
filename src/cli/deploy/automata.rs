//! The ways through the macro-steps, as `--force-steps` writes them.

use crate::types::{AutomataOverride, InstanceOverride};

/// `SetDeploymentEnv|Name:retries:timeout[,...]&BroadcastEnv|...&BootNewEnv|...`, all three.
pub(crate) fn parse(text: &str) -> Result<AutomataOverride, String> {
    let mut automata = AutomataOverride::default();
    for part in text.split('&') {
        let (name, list) = part
            .split_once('|')
            .ok_or_else(|| format!("`{part}` is not Macro|Name:retries:timeout"))?;
        let slot = match name.trim() {
            "SetDeploymentEnv" | "SetDeploymentMiniOS" => &mut automata.set_deployment_env,
            "BroadcastEnv" => &mut automata.broadcast_env,
            "BootNewEnv" => &mut automata.boot_new_env,
            other => {
                return Err(format!(
                    "`{other}` is not a macro-step: SetDeploymentEnv, BroadcastEnv or BootNewEnv"
                ));
            }
        };
        if !slot.is_empty() {
            return Err(format!("{name} is given twice"));
        }
        *slot = list.split(',').map(instance).collect::<Result<_, _>>()?;
    }
    let steps = [
        ("SetDeploymentEnv", &automata.set_deployment_env),
        ("BroadcastEnv", &automata.broadcast_env),
        ("BootNewEnv", &automata.boot_new_env),
    ];
    match steps.iter().find(|(_, list)| list.is_empty()) {
        Some((missing, _)) => {
            Err(format!("{missing} is missing: all three macro-steps are needed"))
        }
        None => Ok(automata),
    }
}

fn instance(text: &str) -> Result<InstanceOverride, String> {
    let wrong = || format!("`{text}` is not Name:retries:timeout, such as Kascade:1:300");
    let mut parts = text.trim().split(':');
    let (Some(name), Some(retries), Some(timeout), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong());
    };
    if name.is_empty() {
        return Err(wrong());
    }
    let retries = retries.parse().map_err(|_| wrong())?;
    let timeout = timeout.parse().map_err(|_| wrong())?;
    Ok(InstanceOverride { name: name.to_owned(), retries, timeout })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(automata: &AutomataOverride) -> String {
        let list = |list: &[InstanceOverride]| {
            let one =
                |one: &InstanceOverride| format!("{}:{}:{}", one.name, one.retries, one.timeout);
            list.iter().map(one).collect::<Vec<_>>().join(",")
        };
        format!(
            "SetDeploymentEnv|{}&BroadcastEnv|{}&BootNewEnv|{}",
            list(&automata.set_deployment_env),
            list(&automata.broadcast_env),
            list(&automata.boot_new_env)
        )
    }

    fn instances() -> impl Strategy<Value = Vec<InstanceOverride>> {
        let one = ("[A-Za-z]{1,12}", any::<u32>(), any::<u64>())
            .prop_map(|(name, retries, timeout)| InstanceOverride { name, retries, timeout });
        prop::collection::vec(one, 1..4)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(set in instances(), broadcast in instances(), boot in instances()) {
            let automata = AutomataOverride {
                set_deployment_env: set, broadcast_env: broadcast, boot_new_env: boot,
            };
            prop_assert_eq!(parse(&written(&automata)), Ok(automata));
        }

        #[test]
        fn nothing_makes_it_panic(text in "\\PC*") {
            let _ = parse(&text);
        }
    }

    #[test]
    fn mistakes_are_named() {
        let text = |text: &str| parse(text).unwrap_err();
        assert!(text("BroadcastEnv|Chain:0:0").contains("SetDeploymentEnv is missing"));
        assert!(text("Broadcast|Chain:0:0").contains("`Broadcast` is not a macro-step"));
        assert!(text("BroadcastEnv|Chain:x:0").contains("`Chain:x:0` is not"));
        assert!(text("BroadcastEnv|A:0:0&BroadcastEnv|A:0:0").contains("twice"));
        assert!(text("").contains("is not Macro|Name"));
    }
}

//! Operations that administrators and users put beside micro-steps, read and checked.

use crate::{
    environments::{Fields, FileRef, Invalid},
    steps::{CustomAction, CustomFile, CustomOperation},
    types::{Code, Kind, Problem},
    workflows::{Beside, Custom, MACRO_STEPS, canonical, known_instance, known_micro_step},
};
use config::model::{Action, Operation};
use serde_json::{Map, Value};
use std::time::Duration;

/// The operations of the cluster's file.
pub(super) fn configured(operations: &[Operation]) -> Vec<CustomOperation> {
    let file = |path: &std::path::Path| CustomFile::Server(path.to_owned());
    let one = |operation: &Operation| CustomOperation {
        name: operation.name.clone(),
        action: match &operation.action {
            Action::Exec { command } => CustomAction::Exec { command: command.clone() },
            Action::Send { file: path, destination } => {
                CustomAction::Send { file: file(path), destination: destination.clone() }
            }
            Action::Run { file: path, params } => {
                CustomAction::Run { file: file(path), arguments: words(params) }
            }
        },
        timeout: (!operation.timeout.is_zero()).then_some(operation.timeout),
        retries: operation.retries,
    };
    operations.iter().map(one).collect()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The operations of a request for an operation of that kind. Error 8 names macro-step,
/// micro-step and field.
pub(super) fn requested(kind: Kind, wanted: Option<&Value>) -> Result<Vec<Custom>, Problem> {
    let mut all = Vec::new();
    for (name, micro_steps) in hash(wanted, String::new)? {
        let macro_step = canonical(name);
        if !is_macro_step(kind, &macro_step) {
            return Err(wrong(format!("Invalid macrostep name '{name}'")));
        }
        for (micro, operations) in hash(Some(micro_steps), || name.clone())? {
            if !known_micro_step(micro) {
                return Err(wrong(format!("{name}, Invalid microstep name '{micro}'")));
            }
            let place = || format!("{name}/{micro}");
            let fields = Fields::new(hash(Some(operations), place)?, "");
            let read = beside(&fields).map_err(|why| wrong(format!("{name}/{micro}, {why}")))?;
            let (overrides, beside) = read;
            all.push(Custom {
                macro_step: macro_step.clone(),
                micro: micro.clone(),
                overrides,
                beside,
            });
        }
    }
    Ok(all)
}

/// The references of the files that `custom` needs, each once.
pub(super) fn files(custom: &[Custom]) -> Vec<String> {
    let mut files = Vec::new();
    for one in custom {
        let Beside { before, instead, after } = &one.beside;
        for operation in [before, instead, after].into_iter().flatten() {
            let file = match &operation.action {
                CustomAction::Send { file, .. } | CustomAction::Run { file, .. } => file,
                CustomAction::Exec { .. } => continue,
            };
            if let CustomFile::Grabbed(reference) = file
                && !files.contains(reference)
            {
                files.push(reference.clone());
            }
        }
    }
    files
}

fn wrong(why: String) -> Problem {
    Problem::parameter(Code::InvalidCustomOperation, "custom_operations", why)
}

fn is_macro_step(kind: Kind, name: &str) -> bool {
    let of_deployment = MACRO_STEPS.iter().any(|step| name.starts_with(step));
    match kind {
        Kind::Deploy => MACRO_STEPS.contains(&name) || (of_deployment && known_instance(name)),
        Kind::Reboot => ["Simple", "SetPXE", "DeployEnv", "RecordedEnv"].contains(&name),
        Kind::Power => ["On", "Off", "Status"].contains(&name),
    }
}

static NOTHING: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);

fn hash(value: Option<&Value>, place: impl Fn() -> String) -> Result<&Map<String, Value>, Problem> {
    match value {
        None | Some(Value::Null) => Ok(&NOTHING),
        Some(Value::Object(map)) => Ok(map),
        Some(_) => {
            let place = place();
            let comma = if place.is_empty() { "" } else { ", " };
            Err(wrong(format!("{place}{comma}should be a Hash")))
        }
    }
}

fn beside(fields: &Fields<'_>) -> Result<(bool, Beside), Invalid> {
    let list = |name| fields.sections(name)?.iter().map(operation).collect::<Result<Vec<_>, _>>();
    let beside =
        Beside { before: list("pre-ops")?, instead: list("substitute")?, after: list("post-ops")? };
    Ok((fields.boolean_or("override", false)?, beside))
}

/// What a custom operation does, by the word of the files.
#[derive(Clone, Copy)]
enum Word {
    Exec,
    Send,
    Run,
}

const WORDS: [(&str, Word); 3] = [("exec", Word::Exec), ("send", Word::Send), ("run", Word::Run)];

fn operation(fields: &Fields<'_>) -> Result<CustomOperation, Invalid> {
    let name = fields.text("name")?;
    if name.chars().any(char::is_control) {
        return Err(fields.wrong("name", "is not one line of text"));
    }
    let file = || {
        let reference = fields.text("file")?;
        FileRef::parse(&reference).map_err(|why| fields.wrong("file", why.to_string()))?;
        Ok(CustomFile::Grabbed(reference))
    };
    let action = match fields.choice("action", &WORDS, None)? {
        Word::Exec => CustomAction::Exec { command: fields.text("command")? },
        Word::Send => {
            let destination = fields.text("destination")?;
            if destination.chars().any(char::is_control) {
                return Err(fields.wrong("destination", "is not the path of a directory"));
            }
            CustomAction::Send { file: file()?, destination }
        }
        Word::Run => {
            let arguments = words(&fields.text_or("params", "")?);
            CustomAction::Run { file: file()?, arguments }
        }
    };
    let scattering = [("tree", ()), ("chain", ())];
    fields.choice("scattering", &scattering, Some(()))?;
    let timeout = number(fields, "timeout")?;
    Ok(CustomOperation {
        name,
        action,
        timeout: (timeout > 0).then(|| Duration::from_secs(timeout.into())),
        retries: number(fields, "retries")?,
    })
}

fn number(fields: &Fields<'_>, name: &str) -> Result<u32, Invalid> {
    let number = fields.integer_or(name, 0)?;
    u32::try_from(number).map_err(|_| fields.wrong(name, "must be a number from 0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(kind: Kind, wanted: &Value) -> Result<Vec<Custom>, String> {
        requested(kind, Some(wanted)).map_err(|problem| problem.to_string())
    }

    #[test]
    fn operations_are_read_with_all_they_say() {
        let wanted = json!({
            "SetDeploymentMiniOS": {"format_deploy_part": {
                "override": true,
                "pre-ops": [{"name": "mine:1 | do/it", "action": "exec", "command": "date", "timeout": 7, "retries": 2}],
                "substitute": [{"name": "b", "action": "run", "file": "/h/x.sh", "params": "1 two", "scattering": "chain"}],
                "post-ops": [{"name": "c", "action": "send", "file": "http://w/f?x", "destination": "$KADEPLOY_TMP_DIR/d"}],
            }},
        });
        let [one] = &read(Kind::Deploy, &wanted).unwrap()[..] else { panic!() };
        assert_eq!(
            (one.macro_step.as_str(), one.micro.as_str()),
            ("SetDeploymentEnv", "format_deploy_part")
        );
        assert!(one.overrides);
        let before = &one.beside.before[0];
        assert_eq!(before.name, "mine:1 | do/it");
        assert_eq!((before.timeout, before.retries), (Some(Duration::from_secs(7)), 2));
        let CustomAction::Run { arguments, .. } = &one.beside.instead[0].action else { panic!() };
        assert_eq!(arguments, &["1", "two"]);
        assert_eq!(files(std::slice::from_ref(one)), ["/h/x.sh", "http://w/f?x"]);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let op = |fields: Value| json!({"SetDeploymentEnvDummy": {"dummy": {"pre-ops": [fields]}}});
        let cases = [
            (
                op(json!({})),
                "SetDeploymentEnvDummy/dummy, The field is mandatory [field: pre-ops/0/name]",
            ),
            (
                op(json!({"name": "x"})),
                "SetDeploymentEnvDummy/dummy, The field is mandatory [field: pre-ops/0/action]",
            ),
            (
                op(json!({"name": "x", "action": "eat"})),
                "SetDeploymentEnvDummy/dummy, Invalid value 'eat', allowed values are: 'exec', 'send' or 'run' [field: pre-ops/0/action]",
            ),
            (
                op(json!({"name": "x", "action": "exec"})),
                "SetDeploymentEnvDummy/dummy, The field is mandatory [field: pre-ops/0/command]",
            ),
            (
                op(json!({"name": "x", "action": "send", "file": "f"})),
                "SetDeploymentEnvDummy/dummy, The field is mandatory [field: pre-ops/0/destination]",
            ),
            (
                op(json!({"name": "x\n|", "action": "exec", "command": "c"})),
                "SetDeploymentEnvDummy/dummy, is not one line of text [field: pre-ops/0/name]",
            ),
            (json!({"Magic": {}}), "Invalid macrostep name 'Magic'"),
            (json!({"Simple": {}}), "Invalid macrostep name 'Simple'"),
            (json!({"BootNewEnv": {"magic": {}}}), "BootNewEnv, Invalid microstep name 'magic'"),
            (json!({"BootNewEnv": {"dummy": []}}), "BootNewEnv/dummy, should be a Hash"),
            (json!(7), "should be a Hash"),
        ];
        for (wanted, why) in cases {
            let told = read(Kind::Deploy, &wanted).unwrap_err();
            let begin =
                "Invalid custom operations specification -- Parameter 'custom_operations': ";
            assert!(told.starts_with(begin) && told.contains(why), "{told}");
        }
        assert!(read(Kind::Reboot, &json!({"SetPXE": {"reboot": {}}})).is_ok());
        assert!(read(Kind::Power, &json!({"SetPXE": {}})).is_err());
        assert_eq!(requested(Kind::Power, None), Ok(Vec::new()));
    }
}

//! `kaadmin3 install`: an environment, or the deployment system, from where it is published.
//!
//! What it names is copied to this machine. A deployment system goes where the boot servers find
//! it; an environment goes among the images, and is recorded by `kaenv3` with its new places.
//! `copy` gets one file.

mod copy;

use super::{
    channels::{say, say_raw},
    description,
    failure::Failure,
    options::{Opt, help, parse},
    terminal,
};
use crate::files::sha256;
use config::Config;
use copy::{Source, copy};
use serde_json::{Map, Value};
use std::{
    env, fs,
    io::{IsTerminal, Write, stdin},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::Arc,
};

/// What it is called.
pub(super) const NAME: &str = "kaadmin3";

/// Where images are kept unless the administrator says something else.
const IMAGES: &str = "/var/lib/kadeploy3/images";

/// Whose files they are, where there is such an account.
const OWNER: &str = "deploy";

const OPTIONS: &[Opt] = &[
    Opt::flag("help", "Show this help").short('h'),
    Opt::value("config", "PATH", "The directory of the configuration, or its server.conf")
        .short('c'),
    Opt::flag("default", "Ask nothing: take what would be proposed").short('D'),
    Opt::value("images", "DIRECTORY", "Where images are kept, without being asked"),
];

/// Runs it with the words after its name.
pub(super) fn run(words: Vec<String>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(Box::pin(begin(words))),
        Err(error) => Err(Failure::usage(error.to_string())),
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            super::channels::warn(&failure.text);
            ExitCode::from(failure.code)
        }
    }
}

async fn begin(mut words: Vec<String>) -> Result<ExitCode, Failure> {
    let is_option = |word: &String| word.starts_with('-');
    let verb = words.first().filter(|word| !is_option(word)).cloned();
    if verb.is_some() {
        words.remove(0);
    }
    // The address stands last; an option before it may have a value.
    let address = verb.as_ref().and_then(|_| words.pop());
    if let Some(address) = address.as_ref().filter(|address| is_option(address)) {
        words.push(address.clone());
    }
    let address = address.filter(|address| !is_option(address));
    let line = parse(OPTIONS, words)?;
    if line.has("help") {
        say(help(&format!("{NAME} install URI"), OPTIONS, terminal::columns()).trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let (Some("install"), Some(address)) = (verb.as_deref(), address) else {
        return Err(Failure::usage(format!(
            "Say what to install: {NAME} install [-c CONFIG] [-D] URI, where URI is a description of an environment"
        )));
    };
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::usage("Only root may install: the files are those of the service"));
    }
    let config = configuration(line.value("config"))?;
    let base = Source::parse(&address)?;
    let text = base.text().await?;
    let parsed: Value = serde_saphyr::from_str(&text)
        .map_err(|error| Failure::usage(format!("Invalid YAML in '{address}': {error}")))?;
    let Value::Object(map) = parsed else {
        return Err(Failure::usage(format!("'{address}' is no description")));
    };
    let asks = !line.has("default") && stdin().is_terminal();
    if map.get("os").and_then(Value::as_str) == Some("deploy") {
        return deployment_system(&config, &base, &map).await.map(|()| ExitCode::SUCCESS);
    }
    let images = match line.value("images") {
        Some(images) => images.into(),
        None if asks => ask("Where are images kept?", IMAGES)?.into(),
        None => PathBuf::from(IMAGES),
    };
    environment(&base, map, &images).await
}

/// The configuration that `-c`, the environment or the default names.
fn configuration(given: Option<&str>) -> Result<Arc<Config>, Failure> {
    let given =
        given.map(PathBuf::from).or_else(|| env::var_os("KADEPLOY3_CONFIG_DIR").map(PathBuf::from));
    let path = given.unwrap_or_else(|| "/etc/kadeploy3".into());
    let dir = if path.is_file() { path.parent().unwrap_or(&path) } else { &path };
    let loaded =
        config::load(dir).map_err(|mistakes| Failure::usage(mistakes.to_string().trim_end()))?;
    Ok(Arc::new(loaded.config))
}

/// Kernel and ramdisk to the boot servers, the private key to where the service reads it.
async fn deployment_system(
    config: &Config,
    base: &Source,
    map: &Map<String, Value>,
) -> Result<(), Failure> {
    let named = |field: &str| {
        let text = map.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
        text.ok_or_else(|| Failure::usage(format!("The description names no {field}")))
    };
    let kernels = config.server.pxe.dhcp.repository.join("kernels");
    let mut copies = Vec::new();
    for field in ["vmlinuz", "initrd"] {
        let from = base.beside(named(field)?)?;
        copies.push((kernels.join(from.name()?), from, 0o644));
    }
    if map.contains_key("private_key") {
        let key = config.server.ssh_private_key.clone();
        copies.push((key, base.beside(named("private_key")?)?, 0o600));
    }
    for (to, from, mode) in &copies {
        install(from, to, *mode, Known::Goes).await?;
    }
    say(
        "The deployment system is installed: name its files in boot/kernels/deploy of the clusters",
    );
    Ok(())
}

/// Images and archives among the images, and the description recorded with their new places.
async fn environment(
    base: &Source,
    mut map: Map<String, Value>,
    images: &Path,
) -> Result<ExitCode, Failure> {
    description::check(&map)?;
    for reference in description::references_mut(&mut map) {
        let from = base.beside(reference)?;
        let to = images.join(from.name()?);
        install(&from, &to, 0o644, Known::Stays).await?;
        *reference = format!("server://{}", to.display());
    }
    let file = tempfile::NamedTempFile::new().map_err(|error| Failure::usage(error.to_string()))?;
    fs::write(file.path(), description::yaml(&Value::Object(map)))
        .map_err(|error| Failure::file(file.path().display(), error))?;
    // The same program by another name: it knows the way to the service.
    let program = env::current_exe().map_err(|error| Failure::usage(error.to_string()))?;
    let status = Command::new(program).arg0("kaenv3").arg("-a").arg(file.path()).status();
    let status =
        status.map_err(|error| Failure::usage(format!("kaenv3 cannot be run: {error}")))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    if code == 0 {
        say("The environment is recorded");
    }
    Ok(ExitCode::from(code))
}

/// What becomes of another file of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// The new one takes its place.
    Goes,
    /// It stays: recorded environments may name it.
    Stays,
}

/// One file, told with its progress, and the owner's.
async fn install(from: &Source, to: &Path, mode: u32, known: Known) -> Result<(), Failure> {
    let wrong = |error: std::io::Error| Failure::file(to.display(), error);
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir).map_err(wrong)?;
    }
    let mut new = to.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let mut told = None;
    let copied = copy(from, &new, mode, |percent| {
        if told != Some(percent) {
            told = Some(percent);
            say_raw(&format!("\r{} {percent:>3} %", to.display()));
        }
    });
    let copied = copied.await;
    say("");
    let copied = match (copied, known) {
        (Ok(()), Known::Stays) => same(&new, to).await,
        (copied, _) => copied,
    };
    if let Err(failure) = copied {
        // Half a file is none.
        let _ = fs::remove_file(&new);
        return Err(failure);
    }
    fs::set_permissions(&new, fs::Permissions::from_mode(mode)).map_err(wrong)?;
    if let Some((user, group)) = owner() {
        std::os::unix::fs::chown(&new, Some(user), Some(group)).map_err(wrong)?;
    }
    fs::rename(&new, to).map_err(wrong)
}

/// Whether what is at `to`, if there is something, is what is to be there.
async fn same(new: &Path, to: &Path) -> Result<(), Failure> {
    if !to.exists() {
        return Ok(());
    }
    let sum = async |path: &Path| {
        let sum = sha256(&path.display().to_string(), path.to_owned()).await;
        sum.map_err(|why| Failure::file(path.display(), why))
    };
    if sum(new).await? == sum(to).await? {
        return Ok(());
    }
    let why = "there is another file of that name: move it away, or choose another directory with --images";
    Err(Failure::file(to.display(), why))
}

/// The numbers of the account, if there is one.
fn owner() -> Option<(u32, u32)> {
    let number = |option: &str| {
        let output = Command::new("id").args([option, OWNER]).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    Some((number("-u")?, number("-g")?))
}

fn ask(question: &str, proposed: &str) -> Result<String, Failure> {
    say_raw(&format!("{question} [{proposed}] "));
    let mut line = String::new();
    std::io::stdout()
        .flush()
        .and_then(|()| stdin().read_line(&mut line).map(drop))
        .map_err(|error| Failure::usage(error.to_string()))?;
    let answer = line.trim();
    Ok(if answer.is_empty() { proposed } else { answer }.to_owned())
}

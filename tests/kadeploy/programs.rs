//! A person who has the programs, a configuration, and files.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};
use tempfile::TempDir;

/// What one run left.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl Ran {
    pub(super) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub(super) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Refused by the program or the service: nothing but this on standard error.
    #[track_caller]
    pub(super) fn told(self, code: i32, err: &str) -> Self {
        let ran = self.ended(code);
        assert_eq!(ran.err.trim_end(), err, "{ran:#?}");
        ran
    }
}

/// A place with `client.conf`, the programs in `bin`, and files.
pub(super) struct Place {
    dir: TempDir,
}

impl Place {
    /// Servers by name and port; the first one is meant by default.
    pub(super) fn new(servers: &[(&str, u16)]) -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        let mut text = format!("default: {}\nservers:\n", servers[0].0);
        for (name, port) in servers {
            text +=
                &format!("- {{name: {name}, hostname: 127.0.0.1, port: {port}, secure: false}}\n");
        }
        place.write("client.conf", &text);
        fs::create_dir(place.path("bin")).unwrap();
        for program in kadence::kadeploy::Called::names() {
            let kadence = assert_cmd::cargo::cargo_bin!("kadence");
            std::os::unix::fs::symlink(kadence, place.path("bin").join(program)).unwrap();
        }
        place
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The path of a file as text.
    pub(super) fn name(&self, name: &str) -> String {
        self.path(name).into_os_string().into_string().unwrap()
    }

    pub(super) fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.name(name)
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// A program with its words, as anna starts it here.
    pub(super) fn command(&self, words: &str) -> Command {
        let mut words = words.split_whitespace();
        let mut command = Command::new(self.path("bin").join(words.next().unwrap()));
        self.surround(command.args(words));
        command
    }

    /// A line of a shell that finds the programs.
    pub(super) fn shell(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        self.surround(command.args(["-c", line]));
        command
    }

    fn surround(&self, command: &mut Command) {
        for name in ["KADEPLOY3_VERSION", "USERNAME", "COLUMNS", "KADENCE_SERVER"] {
            command.env_remove(name);
        }
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.name("bin")));
        command.env("USER", "anna").env("HOME", self.dir.path());
        command.env("KADEPLOY3_CONFIG_DIR", self.dir.path()).current_dir(self.dir.path());
        command.stdin(Stdio::null());
    }

    pub(super) fn run(&self, words: &str) -> Ran {
        Ran::of(self.command(words).output().unwrap())
    }
}

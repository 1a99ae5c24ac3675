//! A database server of its own: the programs of the system, in a temporary directory.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A `MariaDB` server with the user `deploy`, ended when it goes out of scope.
pub(crate) struct MariaDb {
    dir: TempDir,
    server: Child,
    /// Where it listens, on the loopback address.
    pub(crate) port: u16,
}

/// How long its programs may take on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(120);

impl MariaDb {
    /// The password of `deploy`.
    pub(crate) const PASSWORD: &str = "s3cret/@?";

    /// A server with the database `deploy3`, which is empty.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let me = fs::metadata("/proc/self").unwrap();
        let user = if std::os::unix::fs::MetadataExt::uid(&me) == 0 { "root" } else { "" };
        let mut install = Command::new("mariadb-install-db");
        install.args(["--no-defaults", "--auth-root-authentication-method=normal"]);
        install.arg("--skip-test-db").arg(format!("--datadir={}", data.display()));
        let mut serve = Command::new("/usr/sbin/mariadbd");
        let port = super::free_port();
        serve.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
        serve.arg(format!("--socket={}", dir.path().join("socket").display()));
        serve.arg(format!("--port={port}")).args(["--bind-address=127.0.0.1", "--skip-log-bin"]);
        // A server that starts takes away what others have in the same place for temporary tables.
        install.env("TMPDIR", dir.path());
        serve.env("TMPDIR", dir.path());
        if !user.is_empty() {
            install.arg(format!("--user={user}"));
            serve.arg(format!("--user={user}"));
        }
        let made = install.output().expect("mariadb-install-db: scripts/setup test installs it");
        assert!(made.status.success(), "{made:?}");
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let server = serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let database = Self { dir, server, port };
        database.wait();
        database.root("CREATE DATABASE deploy3; CREATE USER deploy IDENTIFIED BY 's3cret/@?'; GRANT ALL ON deploy3.* TO deploy;");
        database
    }

    fn wait(&self) {
        let begun = Instant::now();
        while !self.program("mariadb").args(["-e", "SELECT 1"]).output().unwrap().status.success() {
            let log = || fs::read_to_string(self.dir.path().join("log")).unwrap();
            assert!(begun.elapsed() < PATIENCE, "{}", log());
        }
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.args(["--no-defaults", "--user=root", "--protocol=socket"]);
        // They would take it from the locale of whoever runs the tests.
        command.arg("--default-character-set=utf8mb4");
        command.arg(format!("--socket={}", self.dir.path().join("socket").display()));
        command
    }

    fn root(&self, sql: &str) -> String {
        let output = self.program("mariadb").args(["-N", "-e", sql]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs statements in the database; what they print.
    pub(crate) fn run(&self, sql: &str) -> String {
        self.root(&format!("USE deploy3; {sql}"))
    }

    /// What its own program writes of the database into a file.
    pub(crate) fn dump(&self, options: &[&str]) -> PathBuf {
        let output = self.program("mariadb-dump").args(options).arg("deploy3").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let path = self.dir.path().join("dump.sql");
        fs::write(&path, output.stdout).unwrap();
        path
    }

    /// The address of the database as `deploy` reaches it, without his password.
    pub(crate) fn url(&self) -> String {
        format!("mysql://deploy@127.0.0.1:{}/deploy3", self.port)
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

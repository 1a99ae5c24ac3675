//! The command line: `kadence <verb>`.
//!
//! One file per verb; each says what it takes (clap), asks the service through
//! [`crate::client`], and tells what came of it. `operation` is what the verbs that start
//! something have in common, `failure` how an error becomes a text and an exit code.

mod check;
mod clusters;
mod console;
mod control;
mod deploy;
mod env;
mod explain;
mod failure;
mod info;
mod links;
mod logs;
mod metrics;
mod migrate;
mod nodes;
mod operation;
mod operations;
mod power;
mod profile;
mod reboot;
mod recorded;
mod reload;
mod rights;
mod serve;
mod simulate;
mod stats;
mod steps;
mod store;
mod table;
mod token;

pub(crate) use deploy::forced_steps;
pub use failure::Failure;

use crate::{
    client::{Client, Door, Proof},
    lab::cli::LabArgs,
};
use clap::{Args, Parser, Subcommand};
use std::{
    path::PathBuf,
    process::{Command, ExitCode},
};

/// Installs operating systems on bare machines, and boots and switches them.
#[derive(Debug, Parser)]
#[command(
    name = "kadence",
    version,
    after_help = "Example:\n  kadence deploy -e debian -m 'node-[1-3]' -k"
)]
pub struct Kadence {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// Which service, as whom.
#[derive(Debug, Args)]
struct Global {
    /// Address of the service.
    #[arg(
        long,
        global = true,
        env = "KADENCE_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:25300"
    )]
    server: String,
    /// Who you are [default: $USER, or the name you logged in with]
    #[arg(long, global = true, value_name = "NAME")]
    user: Option<String>,
    /// Certificates that that of the service must be, or be signed by [default: the system's]
    #[arg(long, global = true, env = "KADENCE_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Do not look at the certificate of the service.
    #[arg(long, global = true)]
    insecure: bool,
    /// A file with your password, if it is not in `KADENCE_PASSWORD`.
    #[arg(long, global = true, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// A file with a token, if it is not in `KADENCE_TOKEN`.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "password_file")]
    token_file: Option<PathBuf>,
    /// What the headers begin with that tell who you are, where it is not X-Kadeploy-.
    #[arg(long, global = true, env = "KADENCE_HEADERS_PREFIX", value_name = "PREFIX")]
    headers_prefix: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the service.
    Serve(serve::ServeArgs),
    /// Check a configuration.
    Check(check::CheckArgs),
    /// Let the service load its configuration anew.
    Reload(reload::ReloadArgs),
    /// Install an environment on nodes.
    Deploy(Box<deploy::DeployArgs>),
    /// Reboot nodes.
    Reboot(reboot::RebootArgs),
    /// Switch nodes on or off, or ask whether they are on.
    Power(power::PowerArgs),
    /// List the clusters.
    Clusters(clusters::ClustersArgs),
    /// Show the nodes and what is installed on them.
    Nodes(nodes::NodesArgs),
    /// Why a node is where it is, and what to do next.
    Explain(explain::ExplainArgs),
    /// The console of a node, what it printed while it was deployed, or which consoles are open.
    Console(console::ConsoleArgs),
    /// Recorded environments: what can be installed.
    Env(env::EnvArgs),
    /// Show the steps of a deployment, as the configuration has them.
    Steps(steps::StepsArgs),
    /// What the service is and offers.
    Info(info::InfoArgs),
    /// What the service counts of itself, for Prometheus.
    Metrics(metrics::MetricsArgs),
    /// List deployments, reboots and power operations, or show where the nodes of one are.
    Operations(operations::OperationsArgs),
    /// Show the messages of an operation.
    Logs(logs::LogsArgs),
    /// End an operation that runs, forget one that has ended.
    Cancel(control::CancelArgs),
    /// Let the nodes that wait at a breakpoint go on.
    Continue(control::ContinueArgs),
    /// Give up the nodes that wait at a breakpoint.
    Abort(control::AbortArgs),
    /// Do an operation again on the nodes that failed.
    Retry(control::RetryArgs),
    /// Check the state of a service that does not run, or repair it.
    Store(store::StoreArgs),
    /// Take over what Kadeploy 3 kept in its database.
    Migrate(migrate::MigrateArgs),
    /// Who may deploy where.
    Rights(rights::RightsArgs),
    /// What was done to the nodes: one row per node and operation.
    Stats(stats::StatsArgs),
    /// Secrets that stand for a user, for some things and some time.
    Token(token::TokenArgs),
    /// Deploy simulated machines in virtual time, and check that all went as it must.
    Simulate(simulate::SimulateArgs),
    /// Make the names by which this program is Kadeploy's: kadeploy3, kareboot3 and the others.
    InstallLinks(links::LinksArgs),
    /// A lab of virtual machines with BMCs.
    Lab(Box<LabArgs>),
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct ConfigDir {
    /// Directory of the configuration.
    #[arg(
        long,
        env = "KADEPLOY3_CONFIG_DIR",
        value_name = "DIR",
        default_value = "/etc/kadeploy3"
    )]
    config_dir: PathBuf,
}

impl Kadence {
    /// How its log is to be written.
    pub fn logging(&self) -> Logging {
        match &self.verb {
            Verb::Serve(args) => Logging { json: args.log_json, default: "info" },
            Verb::Lab(_) => Logging { json: false, default: "info" },
            // What goes wrong there is in the report.
            Verb::Simulate(_) => Logging { json: false, default: "error" },
            _ => Logging { json: false, default: "warn" },
        }
    }

    /// Does what the command line says, and tells what went wrong.
    pub async fn run(self) -> ExitCode {
        match self.dispatch().await {
            Ok(code) => code,
            Err(failure) => failure.tell(),
        }
    }

    async fn dispatch(self) -> Result<ExitCode, Failure> {
        let global = self.global;
        match self.verb {
            Verb::Serve(args) => args.run().await,
            Verb::Check(args) => args.run(),
            Verb::Explain(args) => args.run(&global.client()?).await,
            Verb::Reload(args) => args.run(&global.client()?).await,
            Verb::Steps(args) => args.run(),
            Verb::InstallLinks(args) => args.run(),
            Verb::Store(args) => args.run(),
            Verb::Migrate(args) => args.run().await,
            Verb::Simulate(args) => args.run().await,
            Verb::Lab(args) => Ok(crate::lab::cli::run(*args).await?),
            Verb::Deploy(args) => args.run(&global.client()?).await,
            Verb::Reboot(args) => args.run(&global.client()?).await,
            Verb::Power(args) => args.run(&global.client()?).await,
            Verb::Clusters(args) => args.run(&global.client()?).await,
            Verb::Metrics(args) => args.run(&global.client()?).await,
            Verb::Nodes(args) => args.run(&global.client()?).await,
            Verb::Console(args) => args.run(&global.client()?).await,
            Verb::Env(args) => args.run(&global.client()?).await,
            Verb::Info(args) => args.run(&global.client()?).await,
            Verb::Operations(args) => args.run(&global.client()?).await,
            Verb::Logs(args) => args.run(&global.client()?).await,
            Verb::Cancel(args) => args.run(&global.client()?).await,
            Verb::Continue(args) => args.run(&global.client()?).await,
            Verb::Abort(args) => args.run(&global.client()?).await,
            Verb::Retry(args) => args.run(&global.client()?).await,
            Verb::Rights(args) => args.run(&global.client()?).await,
            Verb::Stats(args) => args.run(&global.client()?).await,
            Verb::Token(args) => args.run(&global.client()?).await,
        }
    }
}

/// How the log is written.
#[derive(Clone, Copy, Debug)]
pub struct Logging {
    /// One JSON object a line.
    pub json: bool,
    /// What is logged where neither `KADENCE_LOG` nor `RUST_LOG` says it.
    pub default: &'static str,
}

impl Global {
    fn client(&self) -> Result<Client, Failure> {
        let user =
            self.user.clone().or_else(login).ok_or_else(|| {
                Failure::usage("nobody knows who you are", "say it with --user NAME")
            })?;
        let (ca, insecure, prefix) = (self.ca.clone(), self.insecure, self.headers_prefix.clone());
        let door = Door { ca, insecure, proof: self.proof()?, prefix };
        Ok(Client::new(&self.server, &user, door)?)
    }

    /// What proves who the user is: a file that was named, else the environment.
    fn proof(&self) -> Result<Proof, Failure> {
        let read = |file: &PathBuf| {
            std::fs::read_to_string(file)
                .map(|text| text.trim_end_matches(['\n', '\r']).to_owned())
                .map_err(|error| {
                    let text = format!("cannot read {}: {error}", file.display());
                    Failure::usage(text, "name a file that you can read")
                })
        };
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(file) = &self.token_file {
            return Ok(Proof::Token(read(file)?));
        }
        if let Some(file) = &self.password_file {
            return Ok(Proof::Password(read(file)?));
        }
        let token = set("KADENCE_TOKEN").map(Proof::Token);
        let proof = token.or_else(|| set("KADENCE_PASSWORD").map(Proof::Password));
        Ok(proof.unwrap_or_default())
    }
}

/// `$USER`, else the name of the account.
fn login() -> Option<String> {
    let given = std::env::var("USER").ok().filter(|user| !user.is_empty());
    given.or_else(|| {
        // Accounts may be on another machine: the system's own program knows how to ask.
        let output = Command::new("id").arg("-un").output().ok()?;
        let name = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (!name.is_empty()).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Kadence::command().debug_assert();
    }

    #[test]
    fn the_help_of_every_verb_ends_with_an_example() {
        fn check(verb: &clap::Command) {
            let help = verb.clone().render_long_help().to_string();
            let helps = help.contains("Example:\n  kadence ");
            assert!(helps || verb.is_hide_set(), "{}: {help}", verb.get_name());
            verb.get_subcommands().for_each(check);
        }
        Kadence::command().get_subcommands().for_each(check);
    }

    #[test]
    fn every_verb_that_tells_something_can_tell_it_as_json() {
        let command = Kadence::command();
        // The service tells by its log, which has a switch of its own.
        let verbs = command.get_subcommands().filter(|verb| verb.get_name() != "serve");
        let has = |verb: &clap::Command| {
            verb.get_arguments().any(|argument| argument.get_long() == Some("json"))
        };
        for verb in verbs.filter(|verb| verb.get_name() != "lab") {
            let mut inside = verb.get_subcommands().peekable();
            let each = inside.peek().is_some() && inside.all(has);
            assert!(has(verb) || each, "{}", verb.get_name());
        }
    }
}

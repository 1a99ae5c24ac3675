//! The keys by which we log in: of files, and of an ssh-agent.

use super::link::LoginError;
use base64::{Engine, engine::general_purpose::STANDARD};
use config::{Agent as Wanted, SshLogin};
use ssh2::{Agent, Session};
use std::path::{Path, PathBuf};

/// Whom to log in as, and by what.
#[derive(Debug)]
pub(super) struct Keys {
    user: String,
    files: Vec<KeyFile>,
    agent: Option<PathBuf>,
    named_only: bool,
}

#[derive(Debug)]
struct KeyFile {
    path: PathBuf,
    /// What is in it, or why that cannot be read.
    text: Result<String, String>,
    /// Its public half, where that is known.
    public: Option<Vec<u8>>,
}

impl Keys {
    /// Reads the files: the service's own key first, then those of `login`.
    pub(super) async fn read(own: &Path, user: &str, login: &SshLogin) -> Self {
        let mut files = Vec::new();
        for path in [own].into_iter().chain(login.keys.iter().map(PathBuf::as_path)) {
            files.push(KeyFile::read(path).await);
        }
        let agent = match &login.agent {
            Wanted::None => None,
            Wanted::At(path) => Some(path.clone()),
            Wanted::OfEnvironment => std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from),
        };
        let user = login.user.as_deref().unwrap_or(user).to_owned();
        let agent = agent.filter(|agent| !agent.as_os_str().is_empty());
        Self { user, files, agent, named_only: login.named_keys_only }
    }

    /// Whether there is nothing to try: which file it is about, and why.
    pub(super) fn none(&self) -> Option<LoginError> {
        let usable = self.agent.is_some() || self.files.iter().any(|file| file.text.is_ok());
        let first = self.files.first().filter(|_| !usable)?;
        let why = first.text.clone().err().unwrap_or_default();
        Some(LoginError::KeyFile { path: first.path.display().to_string(), why })
    }

    /// Logs in over `session`.
    pub(super) fn log_in(&self, session: &Session) -> Result<(), LoginError> {
        let (mut refused, mut unusable) = (Vec::new(), None);
        for file in &self.files {
            match file.log_in(session, &self.user) {
                Ok(()) => return Ok(()),
                Err(LoginError::Key(_)) => refused.push(file.path.display().to_string()),
                Err(why @ LoginError::KeyFile { .. }) => unusable = unusable.or(Some(why)),
                Err(other) => return Err(other),
            }
        }
        if let Some(socket) = &self.agent {
            match self.ask_agent(session, socket) {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    refused.push(format!("nor any of the ssh-agent at {}", socket.display()));
                }
                Err(AgentError::Connection(broken)) => return Err(broken),
                Err(AgentError::Agent(why)) => {
                    tracing::debug!(agent = %socket.display(), why, "no keys of the ssh-agent");
                    let note = format!("; the ssh-agent at {}: {why}", socket.display());
                    if let Some(LoginError::KeyFile { why, .. }) = &mut unusable {
                        why.push_str(&note);
                    }
                }
            }
        }
        let refusal = || LoginError::Key(refused.join(", "));
        Err(if refused.is_empty() { unusable.unwrap_or_else(refusal) } else { refusal() })
    }

    /// Tries the keys of an agent, one after the other; whether one was taken.
    fn ask_agent(&self, session: &Session, socket: &Path) -> Result<bool, AgentError> {
        let agent = |error: ssh2::Error| AgentError::Agent(error.message().to_owned());
        let mut asked: Agent = session.agent().map_err(agent)?;
        asked.set_identity_path(socket).map_err(agent)?;
        asked.connect().map_err(agent)?;
        asked.list_identities().map_err(agent)?;
        for key in asked.identities().map_err(agent)? {
            let named = || self.files.iter().any(|file| file.public.as_deref() == Some(key.blob()));
            if self.named_only && !named() {
                continue;
            }
            match asked.userauth(&self.user, &key).map_err(LoginError::from) {
                Ok(()) => return Ok(true),
                // The agent may have lost the key meanwhile, or its owner does not allow it.
                Err(LoginError::Key(_) | LoginError::KeyFile { .. }) => {}
                Err(broken) => return Err(AgentError::Connection(broken)),
            }
        }
        Ok(false)
    }
}

/// Why an agent did not help.
enum AgentError {
    /// It does not answer.
    Agent(String),
    /// The connection to the node broke.
    Connection(LoginError),
}

impl KeyFile {
    async fn read(path: &Path) -> Self {
        let text = tokio::fs::read_to_string(path).await.map_err(|error| error.to_string());
        let beside = tokio::fs::read_to_string(path.with_extension("pub")).await;
        let public = [text.as_ref().ok(), beside.as_ref().ok()];
        let public = public.into_iter().flatten().find_map(|text| public_key(text));
        Self { path: path.to_owned(), text, public }
    }

    fn log_in(&self, session: &Session, user: &str) -> Result<(), LoginError> {
        let path = || self.path.display().to_string();
        let unusable = |why: String| LoginError::KeyFile { path: path(), why };
        let text = self.text.as_ref().map_err(|why| unusable(why.clone()))?;
        if public_key(text).is_some() {
            return Err(unusable(
                "it is a public key; its other half must be in an ssh-agent".into(),
            ));
        }
        let logged_in = session.userauth_pubkey_memory(user, None, text, None);
        logged_in.map_err(|error| match LoginError::from(error) {
            LoginError::KeyFile { why, .. } => unusable(why),
            other => other,
        })
    }
}

/// The key of a public key file: `kind key comment`.
fn public_key(text: &str) -> Option<Vec<u8>> {
    let mut words = text.split_whitespace();
    let (kind, key) = (words.next()?, STANDARD.decode(words.next()?).ok()?);
    (super::known::kind(&key) == Some(kind)).then_some(key)
}

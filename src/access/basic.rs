//! Names and passwords, from a file of Apache's format.

use super::{UNTRUSTED, hosts::Hosts, password};
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    fs, io,
    net::IpAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// What those are told whose password is wrong, and those whom nobody knows.
const INVALID: &str = "Invalid authentication credentials";

/// The method.
pub(super) struct Basic {
    hosts: Hosts,
    /// What the passwords are for.
    pub(super) realm: String,
    users: Arc<Users>,
}

impl Basic {
    pub(super) fn new(hosts: Hosts, realm: String, file: PathBuf) -> Self {
        let users = Users { file, known: Mutex::default(), secret: uuid::Uuid::new_v4() };
        Self { hosts, realm, users: Arc::new(users) }
    }

    /// The user whose name and password are in `value`, an `Authorization`.
    pub(super) async fn user(&self, ip: IpAddr, value: &str) -> Result<String, String> {
        if !self.hosts.admit(ip).await {
            return Err(UNTRUSTED.into());
        }
        let (user, password) = credentials(value).ok_or(INVALID)?;
        let (users, name) = (Arc::clone(&self.users), user.clone());
        // A good hash takes a while on purpose.
        let checked = tokio::task::spawn_blocking(move || users.check(&name, &password)).await;
        match checked {
            Ok(Ok(true)) => Ok(user),
            Ok(Err(error)) => {
                let file = self.users.file.display().to_string();
                tracing::error!(file, %error, "cannot read the passwords");
                Err("the service cannot read its passwords".into())
            }
            Ok(Ok(false)) | Err(_) => Err(INVALID.into()),
        }
    }
}

fn credentials(value: &str) -> Option<(String, String)> {
    let coded = super::after(value, "basic")?;
    let text = String::from_utf8(STANDARD.decode(coded).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    (!user.is_empty()).then(|| (user.to_owned(), password.to_owned()))
}

/// The file, read again when it changes.
struct Users {
    file: PathBuf,
    known: Mutex<Known>,
    /// Makes what is remembered of passwords useless to others.
    secret: uuid::Uuid,
}

#[derive(Default)]
struct Known {
    stamp: Option<Stamp>,
    hashes: Arc<HashMap<String, String>>,
    /// Digest of the hash and the password that was found to fit it, so that clients that
    /// poll do not cost a slow hash each time.
    right: HashMap<String, [u8; 32]>,
}

/// When a file changes this does.
type Stamp = (u64, i64, i64, u64);

impl Users {
    fn check(&self, user: &str, password: &str) -> io::Result<bool> {
        let hash = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let stamp = stamp(&self.file)?;
            if known.stamp != Some(stamp) {
                let hashes = Arc::new(read(&self.file)?);
                *known = Known { stamp: Some(stamp), hashes, right: HashMap::new() };
            }
            let Some(hash) = known.hashes.get(user).cloned() else { return Ok(false) };
            if known.right.get(user) == Some(&self.digest(&hash, password)) {
                return Ok(true);
            }
            hash
        };
        let fits = password::fits(password, &hash);
        if fits {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.right.insert(user.to_owned(), self.digest(&hash, password));
        }
        Ok(fits)
    }

    fn digest(&self, hash: &str, password: &str) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.secret.as_bytes());
        digest.update((hash.len() as u64).to_be_bytes());
        digest.update(hash);
        digest.update(password);
        digest.finalize().into()
    }
}

fn stamp(file: &Path) -> io::Result<Stamp> {
    let meta = fs::metadata(file)?;
    Ok((meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.len()))
}

fn read(file: &Path) -> io::Result<HashMap<String, String>> {
    let text = fs::read_to_string(file)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let entry = |line: &str| {
        let (user, hash) = line.split_once(':')?;
        let hash = hash.split(':').next().unwrap_or(hash);
        Some((user.to_owned(), hash.to_owned()))
    };
    let hashes: HashMap<_, _> = lines.filter_map(entry).collect();
    for user in hashes.iter().filter(|(_, hash)| !password::known(hash)).map(|(user, _)| user) {
        let file = file.display();
        tracing::warn!(%file, user, "the password of this user is hashed in a way that is not known");
    }
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn value(user: &str, password: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
    }

    fn basic(file: &Path) -> Basic {
        Basic::new(Hosts::new(&[]).unwrap(), "lab".into(), file.to_owned())
    }

    #[tokio::test]
    async fn a_password_counts_until_the_file_says_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("htpasswd");
        let basic = basic(&file);
        // Of "secret", made by OpenSSL.
        let hash = "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/";
        fs::write(&file, format!("# people\nanna:{hash}\n")).unwrap();
        for _ in 0..2 {
            assert_eq!(basic.user(ANY, &value("anna", "secret")).await.unwrap(), "anna");
            assert_eq!(basic.user(ANY, &value("anna", "secret2")).await.unwrap_err(), INVALID);
        }
        assert_eq!(basic.user(ANY, &value("ben", "secret")).await.unwrap_err(), INVALID);
        for value in ["Basic", "Basic !", "Digest abc", "Basic YW5uYQ=="] {
            assert_eq!(basic.user(ANY, value).await.unwrap_err(), INVALID);
        }
        fs::write(&file, format!("ben:{hash}\n")).unwrap();
        assert_eq!(basic.user(ANY, &value("anna", "secret")).await.unwrap_err(), INVALID);
        assert_eq!(basic.user(ANY, &value("ben", "secret")).await.unwrap(), "ben");
        fs::remove_file(&file).unwrap();
        assert!(
            basic.user(ANY, &value("ben", "secret")).await.unwrap_err().contains("cannot read")
        );
    }

    #[tokio::test]
    async fn a_password_from_elsewhere_is_not_looked_at() {
        let basic = Basic::new(Hosts::local(), "lab".into(), "/none".into());
        let elsewhere = "192.0.2.1".parse().unwrap();
        assert_eq!(basic.user(elsewhere, &value("a", "b")).await.unwrap_err(), UNTRUSTED);
    }
}

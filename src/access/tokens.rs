//! Tokens: secrets that the service gives out, each good for some things and some time.
//!
//! Only a digest of a token is kept. It begins with its id, by which it is found and revoked:
//! `kadence_<id>_<secret>`.

use crate::{
    store::{Change, Store, TokenRecord},
    types::{Code, Problem},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};
use subtle::ConstantTimeEq;
use warp::http::Method;

use super::Identity;

/// What a token begins with.
const MARK: &str = "kadence_";

/// Longest life of a token.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);

/// Word for everything that only tells.
const READ: &str = "read";

/// Word for what an almighty user may do beyond others.
const ADMIN: &str = "admin";

/// Words of a scope besides `read` and `admin`: the first segments of the paths.
const RESOURCES: [&str; 6] = ["deployment", "reboot", "power", "console", "environments", "rights"];

/// What a token is good for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope(BTreeSet<String>);

impl Scope {
    /// The scope that `words` name.
    ///
    /// # Errors
    /// 4: a word that is none, or no word.
    pub fn new(words: impl IntoIterator<Item = String>) -> Result<Self, Problem> {
        let words: BTreeSet<String> = words.into_iter().collect();
        let known = |word: &str| [READ, ADMIN].contains(&word) || RESOURCES.contains(&word);
        if words.is_empty() || !words.iter().all(|word| known(word)) {
            let all = [READ, ADMIN].into_iter().chain(RESOURCES).collect::<Vec<_>>().join(",");
            let why = format!("must have values in ({all})");
            return Err(Problem::parameter(Code::InvalidOption, "scope", why));
        }
        Ok(Self(words))
    }

    /// Whether an almighty user stays one.
    pub fn is_admin(&self) -> bool {
        self.0.contains(ADMIN)
    }

    /// Whether a request with `method` for `path` is within it. Tokens are never: one that was
    /// stolen must not make others.
    pub fn admits(&self, method: &Method, path: &str, starts: bool) -> bool {
        let first = path.split('/').find(|segment| !segment.is_empty()).unwrap_or_default();
        if first == "tokens" {
            return false;
        }
        let tells = *method == Method::GET && !starts;
        self.0.contains(first) || (tells && self.0.contains(READ))
    }
}

/// A new token.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wish {
    /// What it is for, in words.
    pub name: String,
    /// What it is good for.
    pub scope: Vec<String>,
    /// After so many seconds it is not any more.
    pub lifetime: Option<u64>,
}

/// Makes a token of `user`; what is answered is the only place where it is whole.
///
/// # Errors
/// 4: a scope or a lifetime that cannot be.
pub async fn create(store: &dyn Store, user: &str, wish: Wish) -> Result<Value, Problem> {
    let scope = Scope::new(wish.scope)?;
    let lifetime = wish.lifetime.map(Duration::from_secs);
    let lifetime =
        lifetime.filter(|life| !life.is_zero() && *life <= LONGEST).ok_or_else(|| {
            let why = format!("must be in the range 1..{}", LONGEST.as_secs());
            Problem::parameter(Code::InvalidOption, "lifetime", why)
                .hint("say how long it is to be good, in seconds")
        })?;
    let mut secret = [0; 32];
    // Two of them: six bits of each are no chance.
    for half in secret.chunks_exact_mut(16) {
        half.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    }
    let id = uuid::Uuid::new_v4().simple().to_string();
    let token = format!("{MARK}{id}_{}", URL_SAFE_NO_PAD.encode(secret));
    let now = now();
    let record = TokenRecord {
        id,
        user: user.to_owned(),
        name: wish.name,
        scope: scope.0.into_iter().collect(),
        digest: digest(&token),
        created: now,
        expires: now.saturating_add(lifetime.as_secs()),
    };
    let mut told = told(&record);
    store.commit(Change::new().put_token(record)).await?;
    told["token"] = token.into();
    Ok(told)
}

/// The tokens of `user`, or of all, without their secrets; those that have expired are forgotten.
///
/// # Errors
/// 20: the store cannot be read.
pub async fn list(store: &dyn Store, user: Option<&str>) -> Result<Vec<Value>, Problem> {
    let tokens = store.tokens().await?;
    let mine = tokens.iter().filter(|token| user.is_none_or(|user| user == token.user));
    Ok(mine.map(told).collect())
}

/// Revokes a token, of `user` or of anybody.
///
/// # Errors
/// 404: there is none.
pub async fn revoke(store: &dyn Store, user: Option<&str>, id: &str) -> Result<Value, Problem> {
    let tokens = store.tokens().await?;
    let mut mine = tokens.iter().filter(|token| user.is_none_or(|user| user == token.user));
    let Some(found) = mine.find(|token| token.id == id) else {
        return Err(Problem::NotFound(format!("no token {id}: `kadence token list` shows them")));
    };
    store.commit(Change::new().forget_token(id)).await?;
    Ok(told(found))
}

/// Forgets the tokens that have expired.
///
/// # Errors
/// 20: the store cannot be read or written.
pub async fn sweep(store: &dyn Store) -> Result<(), Problem> {
    let now = now();
    let expired = store.tokens().await?.into_iter().filter(|token| token.expires <= now);
    let change = expired.fold(Change::new(), |change, token| change.forget_token(token.id));
    if change.is_empty() { Ok(()) } else { Ok(store.commit(change).await?) }
}

/// Whose token it is.
pub(super) async fn holder(store: &dyn Store, token: &str) -> Result<Identity, &'static str> {
    const INVALID: &str = "Invalid token";
    let id = token.strip_prefix(MARK).and_then(|rest| rest.split_once('_')).ok_or(INVALID)?.0;
    let found = store.token(id).await.map_err(|_| "the tokens cannot be read")?.ok_or(INVALID)?;
    if !bool::from(found.digest.as_bytes().ct_eq(digest(token).as_bytes())) {
        return Err(INVALID);
    }
    if found.expires <= now() {
        return Err("This token has expired");
    }
    let scope = Scope(found.scope.into_iter().collect());
    Ok(Identity { user: found.user, scope: Some(scope) })
}

/// The secret has 244 bits that nobody can guess: a plain digest of it suffices.
fn digest(token: &str) -> String {
    format!("{:x}", Sha256::digest(token))
}

fn told(token: &TokenRecord) -> Value {
    json!({
        "id": token.id, "user": token.user, "name": token.name, "scope": token.scope,
        "created": token.created, "expires": token.expires,
    })
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(words: &[&str]) -> Scope {
        Scope::new(words.iter().map(|word| (*word).to_owned())).unwrap()
    }

    #[test]
    fn a_token_is_good_for_what_its_scope_names() {
        let read = scope(&["read"]);
        assert!(read.admits(&Method::GET, "/nodes", false));
        assert!(read.admits(&Method::GET, "/deployment/D-1/logs", false));
        assert!(!read.admits(&Method::GET, "/power", true));
        assert!(!read.admits(&Method::DELETE, "/deployment/D-1", false));
        let power = scope(&["power"]);
        assert!(power.admits(&Method::PUT, "/power/", false));
        assert!(power.admits(&Method::GET, "//power", true));
        assert!(!power.admits(&Method::GET, "/nodes", false));
        assert!(!power.admits(&Method::POST, "/deployment", false));
        let all = scope(&["read", "admin", "rights", "deployment", "environments"]);
        assert!(!all.admits(&Method::GET, "/tokens", false));
        assert!(!all.admits(&Method::POST, "/tokens", false));
        assert!(all.is_admin() && !read.is_admin());
    }

    #[test]
    fn a_scope_of_nothing_or_of_what_is_not_there_is_refused() {
        for words in [&[][..], &["everything"], &["read", "tokens"]] {
            let words = words.iter().map(|word| (*word).to_owned());
            assert!(Scope::new(words).unwrap_err().to_string().contains("(read,admin,"));
        }
    }
}

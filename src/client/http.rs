//! Requests and answers.

use super::{ClientError, Door, Events, Proof};
use crate::types::Kind;
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Method, RequestBuilder, Response, header::HeaderMap};
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;

/// Bound of connecting: the service is near.
const CONNECT: Duration = Duration::from_secs(5);

/// Longest address that the HTTP library can hold.
pub const MOST_ADDRESS: usize = 65_534;

/// Bound of an answer: the service may have to look at files on the web before it answers.
const ANSWER: Duration = Duration::from_secs(120);

/// Bound of silence on an event stream: the service says something every 15 seconds.
const SILENCE: Duration = Duration::from_secs(60);

/// Speaks to one service as one user.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    user: String,
    door: Door,
}

/// Messages of an operation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogPage {
    /// When (Unix time, seconds), and what.
    pub lines: Vec<(f64, String)>,
    /// Where the next page begins.
    pub next: usize,
}

impl Client {
    /// A client of the service at `url` who says he is `user`.
    ///
    /// # Errors
    /// A file of certificates that cannot be used, or the system's network library cannot be
    /// set up.
    pub fn new(url: &str, user: &str, door: Door) -> Result<Self, ClientError> {
        crate::platform::crypto();
        let url = url.trim_end_matches('/').to_owned();
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE.max(ANSWER))
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        match door.open(builder)?.build() {
            Ok(http) => Ok(Self { http, url, user: user.to_owned(), door }),
            Err(source) => Err(ClientError::Broken { url, source }),
        }
    }

    /// Who the user is.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// `GET`, with a query.
    ///
    /// # Errors
    /// The service cannot be reached, refuses, or answers something else.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, ClientError> {
        self.structure(self.request(Method::GET, path, query)).await
    }

    /// A request with a JSON body.
    ///
    /// # Errors
    /// The service cannot be reached, refuses, or answers something else.
    pub async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.structure(self.request(method, path, &[]).json(body)).await
    }

    /// A request with a JSON body whose answer is text.
    ///
    /// # Errors
    /// The service cannot be reached, or refuses.
    pub async fn send_text(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<String, ClientError> {
        self.answer(self.request(method, path, &[]).json(body)).await.map(|(_, text)| text)
    }

    /// A text.
    ///
    /// # Errors
    /// The service cannot be reached, or refuses.
    pub async fn text(&self, path: &str) -> Result<String, ClientError> {
        self.answer(self.request(Method::GET, path, &[])).await.map(|(_, text)| text)
    }

    /// Messages of an operation from a cursor on. Nobody else misses them.
    ///
    /// # Errors
    /// The service cannot be reached, or refuses.
    pub async fn logs(&self, kind: Kind, wid: &str, since: usize) -> Result<LogPage, ClientError> {
        let path = format!("/{}/{wid}/logs", kind.path());
        let request = self.request(Method::GET, &path, &[("since", &since.to_string())]);
        let (headers, text) = self.answer(request).await?;
        let next =
            headers.get("x-kadence-cursor").and_then(|next| next.to_str().ok()?.parse().ok());
        let next = next.ok_or_else(|| self.strange("messages without a cursor"))?;
        Ok(LogPage { lines: text.lines().filter_map(line).collect(), next })
    }

    /// The events of one operation from now on.
    ///
    /// # Errors
    /// The service cannot be reached, or refuses.
    pub async fn events(&self, wid: &str) -> Result<Events, ClientError> {
        let request = self.http.get(self.address("/events", &[("wid", wid)]));
        let request = self.introduced(request).header("accept", "text/event-stream");
        let response = request.send().await.map_err(|error| self.broken(error))?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        Ok(Events::new(response.bytes_stream()))
    }

    fn address(&self, path: &str, query: &[(&str, &str)]) -> String {
        if query.is_empty() {
            return format!("{}{path}", self.url);
        }
        let query =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        format!("{}{path}?{query}", self.url)
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, &str)]) -> RequestBuilder {
        self.introduced(self.http.request(method, self.address(path, query)))
            .timeout(ANSWER)
            .header("accept", "application/json")
    }

    /// A request that says who asks.
    fn introduced(&self, request: RequestBuilder) -> RequestBuilder {
        let request = request.header(self.door.user_header(), &self.user);
        match &self.door.proof {
            Proof::None => request,
            Proof::Password(password) => request.basic_auth(&self.user, Some(password)),
            Proof::Token(token) => request.bearer_auth(token),
        }
    }

    /// The bytes of an answer, as they came.
    ///
    /// # Errors
    /// The service cannot be reached, or refuses.
    pub async fn bytes(&self, path: &str, query: &[(&str, &str)]) -> Result<Vec<u8>, ClientError> {
        let request = self.request(Method::GET, path, query).header("accept-encoding", "gzip");
        let response = request.send().await.map_err(|error| self.broken(error))?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let bytes = response.bytes().await.map_err(|error| self.broken(error))?;
        Ok(bytes.to_vec())
    }

    async fn structure<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, ClientError> {
        let (_, text) = self.answer(request).await?;
        serde_json::from_str(&text).map_err(|error| self.strange(&error.to_string()))
    }

    async fn answer(&self, request: RequestBuilder) -> Result<(HeaderMap, String), ClientError> {
        let response = request.send().await.map_err(|error| self.broken(error))?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let headers = response.headers().clone();
        let text = response.text().await.map_err(|error| self.broken(error))?;
        Ok((headers, text))
    }

    async fn refused(&self, response: Response) -> ClientError {
        let status = response.status().as_u16();
        let headers = response.headers();
        let code = headers.get("x-application-error-code");
        let code = code.and_then(|code| code.to_str().ok()?.parse().ok());
        let hint =
            headers.get("x-application-error-hint").and_then(|hint| decoded(hint.as_bytes()));
        match response.text().await {
            Ok(text) if !text.trim().is_empty() => {
                ClientError::Refused { status, code, text: text.trim().to_owned(), hint }
            }
            _ => self.strange(&format!("HTTP status {status} without a text")),
        }
    }

    fn broken(&self, source: reqwest::Error) -> ClientError {
        let url = self.url.clone();
        let length = source.url().map_or(0, |url| url.as_str().len());
        if source.is_builder() && length > MOST_ADDRESS {
            let text = format!(
                "a request cannot have an address of {length} characters, {MOST_ADDRESS} is the most"
            );
            let hint = "name ranges such as 'node-[1-100]', or fewer nodes at once";
            ClientError::Refused { status: 414, code: None, text, hint: Some(hint.into()) }
        } else if source.is_builder() {
            ClientError::Strange { why: "this is not an address".into(), url }
        } else if source.is_connect() {
            ClientError::Unreachable { url, source }
        } else {
            ClientError::Broken { url, source }
        }
    }

    fn strange(&self, why: &str) -> ClientError {
        ClientError::Strange { url: self.url.clone(), why: why.to_owned() }
    }
}

/// Which operation an id belongs to.
pub fn kind_of(wid: &str) -> Option<Kind> {
    [Kind::Deploy, Kind::Reboot, Kind::Power]
        .into_iter()
        .find(|kind| wid.starts_with(kind.letter()) && wid[1..].starts_with('-'))
}

/// `1795205614.53543|text`.
fn line(text: &str) -> Option<(f64, String)> {
    let (at, text) = text.split_once('|')?;
    Some((at.parse().ok()?, text.to_owned()))
}

fn decoded(base64: &[u8]) -> Option<String> {
    String::from_utf8(STANDARD.decode(base64).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_kind() {
        assert_eq!(kind_of("D-1"), Some(Kind::Deploy));
        assert_eq!(kind_of("R-1"), Some(Kind::Reboot));
        assert_eq!(kind_of("P-1"), Some(Kind::Power));
        assert_eq!(kind_of("X-1"), None);
        assert_eq!(kind_of("D"), None);
        assert_eq!(kind_of(""), None);
    }

    #[test]
    fn a_message_keeps_its_indentation() {
        assert_eq!(line("1.5|   * x"), Some((1.5, "   * x".into())));
        assert_eq!(line("no time"), None);
    }
}

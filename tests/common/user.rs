//! A person who talks to a service.

use super::Service;
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, time::Duration};

/// For what should end, however slow the machine is.
const LONG: Duration = Duration::from_secs(120);

/// Somebody who uses a service.
#[derive(Clone, Copy)]
pub(crate) struct User<'a> {
    pub(super) service: &'a Service,
    pub(super) name: Option<&'a str>,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl<'a> User<'a> {
    /// What he uses.
    pub(crate) fn service(&self) -> &'a Service {
        self.service
    }

    /// A request of this user's, to be completed.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.service.client.request(method, self.service.url(path)).timeout(LONG);
        match self.name {
            Some(name) => request.header("X-Kadeploy-User", name),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::to(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        Answer::to(self.request(Method::PUT, path).json(body)).await
    }

    /// With a body, as the old clients do.
    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::DELETE, path).json(&json!({}))).await
    }

    /// Polls an operation until it has ended; the last answer.
    pub(crate) async fn done(&self, path: &str) -> Value {
        let end = tokio::time::Instant::now() + LONG;
        loop {
            let poll = self.get(path).await.json();
            if poll["done"] == true {
                return poll;
            }
            assert!(tokio::time::Instant::now() < end, "it does not end: {poll}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Polls a sub-resource until it shows `text`.
    pub(crate) async fn shows(&self, path: &str, text: &str) {
        let end = tokio::time::Instant::now() + LONG;
        loop {
            let answer = self.get(path).await;
            if answer.text.contains(text) {
                return;
            }
            assert!(tokio::time::Instant::now() < end, "{text:?} does not come: {answer:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// All that a refused request must leave as it is.
    pub(crate) async fn everything(&self) -> Value {
        let mut all = json!({});
        for path in ["/deployment", "/reboot", "/power", "/nodes", "/environments"] {
            all[path] = self.get(path).await.ok().json();
        }
        for folder in ["cache", "power"] {
            let files = fs::read_dir(self.service.path(folder)).unwrap();
            let names: BTreeSet<_> =
                files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
            all[folder] = json!(names);
        }
        all
    }
}

impl Answer {
    /// The answer to a request that is complete.
    pub(crate) async fn to(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn decoded(&self, name: &str) -> Option<String> {
        let value = self.header(name)?;
        Some(String::from_utf8(STANDARD.decode(value).unwrap()).unwrap())
    }

    /// Refused with `status`; each of `words` is in the text or in the hint.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, words: &[&str]) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        assert!(self.header("content-type").unwrap().starts_with("text/plain"), "{self:#?}");
        let all = format!("{}{}", self.text, self.hint().unwrap_or_default());
        for word in words {
            assert!(all.contains(word), "{word:?} is not in {all:?}");
        }
        self
    }

    /// Refused with 400 and this number, the text in the header as well.
    #[track_caller]
    pub(crate) fn refused_with(self, number: u8, words: &[&str]) -> Self {
        let answer = self.refused(400, words);
        let told = answer.header("x-application-error-code").map(str::to_owned);
        assert_eq!(told, Some(number.to_string()), "{answer:#?}");
        let info = answer.decoded("x-application-error-info").unwrap();
        assert_eq!(info, answer.text.trim_end());
        answer
    }

    /// The way out.
    pub(crate) fn hint(&self) -> Option<String> {
        self.decoded("x-application-error-hint")
    }
}

/// The id of an operation that was just created.
#[track_caller]
pub(crate) fn wid(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:#?}");
    answer.json()["wid"].as_str().unwrap().to_owned()
}

//! Why a program ends, and with which exit code.

use super::options::Mistake;
use std::fmt;

/// Exit code of everything that has no number of its own.
const USAGE: u8 = 1;

/// Exit code of an HTTP error that the programs know nothing of.
const HTTP: u8 = 2;

/// Exit code of an internal error of the service.
const INTERNAL: u8 = 3;

/// A text for a person, and an exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// What is told; empty if it was told already.
    pub(super) text: String,
    /// What the process ends with.
    pub(super) code: u8,
}

impl Failure {
    /// Something that makes no sense, or no way to the service.
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: USAGE }
    }

    /// An error with one of Kadeploy's numbers. Zero would look like success.
    pub(super) fn numbered(number: u8, text: impl fmt::Display) -> Self {
        let text = format!("{}\n[Kadeploy Error #{number}]", text.to_string().trim_end());
        Self { text, code: number.max(USAGE) }
    }

    /// An answer that is not 200: `number` is the one of the header.
    pub(super) fn answered(
        status: u16,
        number: Option<u8>,
        body: &str,
        (method, path): (&str, &str),
    ) -> Self {
        let path = path.split('?').next().unwrap_or(path);
        let body = body.trim_end();
        match (status, number) {
            (400, Some(number)) => Self::numbered(number, body),
            (404, _) => Self::usage(format!("Resource not found {path}")),
            (500, _) => {
                let text = format!("[Internal Server Error]\n{body}");
                Self { text: text.trim_end().to_owned(), code: INTERNAL }
            }
            _ => {
                let text = format!("{body}\n[HTTP Error #{status} on {method} {path}]");
                Self { text: text.trim_start().to_owned(), code: HTTP }
            }
        }
    }

    /// A file of this machine that cannot be used.
    pub(super) fn file(path: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self::usage(format!("The file '{path}' cannot be used: {why}"))
    }
}

impl From<Mistake> for Failure {
    fn from(mistake: Mistake) -> Self {
        Self::usage(format!("Option parsing error: {mistake}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_has_its_code() {
        let on = ("GET", "/nodes?list=true");
        let failure = |status, number, body| Failure::answered(status, number, body, on);
        let known = failure(400, Some(6), "no\n");
        assert_eq!((known.text.as_str(), known.code), ("no\n[Kadeploy Error #6]", 6));
        assert_eq!(failure(400, Some(0), "").code, 1);
        let unknown = failure(400, None, "");
        assert_eq!((unknown.text.as_str(), unknown.code), ("[HTTP Error #400 on GET /nodes]", 2));
        let lost = failure(404, None, "x");
        assert_eq!((lost.text.as_str(), lost.code), ("Resource not found /nodes", 1));
        let broken = failure(500, None, "x\n");
        assert_eq!((broken.text.as_str(), broken.code), ("[Internal Server Error]\nx", 3));
        let refused = failure(403, None, "Forbidden -- x\n");
        assert_eq!(refused.text, "Forbidden -- x\n[HTTP Error #403 on GET /nodes]");
        assert_eq!(refused.code, 2);
    }
}

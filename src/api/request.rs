//! A request, read and bounded.

use super::{address, room::Room, shape};
use crate::{
    access::Peer,
    operations::Viewer,
    types::{Code, Problem},
};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;
use warp::http::{HeaderMap, Method, header};

/// Largest body.
pub(super) const MOST_BODY: u64 = 1 << 20;

/// What a handler gets.
pub(super) struct Request {
    /// Segments of the path that the route leaves open, decoded.
    pub(super) segments: Vec<String>,
    /// Body and query; the query wins.
    pub(super) fields: Map<String, Value>,
    /// Who asks; empty on routes that are open to all.
    pub(super) viewer: Viewer,
}

/// What came in, not yet looked at.
pub(super) struct Raw {
    pub(super) room: Arc<Room>,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) peer: Peer,
}

/// The answer to a body that is larger than [`MOST_BODY`].
pub(super) fn too_large() -> Problem {
    Problem::TooLarge(format!("the body cannot be greater than {MOST_BODY} bytes"))
}

impl Raw {
    /// Bounds that hold for every request.
    pub(super) fn check(&self) -> Result<(), Problem> {
        if self.body.len() as u64 > MOST_BODY {
            return Err(too_large());
        }
        if self.query.len() + self.path.len() > address::MOST {
            return Err(Problem::TooLong(address::too_long()));
        }
        Ok(())
    }

    /// Body and query.
    pub(super) fn fields(&self) -> Result<Map<String, Value>, Problem> {
        let mut fields = self.body_fields()?;
        fields.extend(shape::query(&self.query));
        Ok(fields)
    }

    fn body_fields(&self) -> Result<Map<String, Value>, Problem> {
        if self.body.is_empty() {
            return Ok(Map::new());
        }
        let kind = self.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.map(|kind| kind.split(';').next().unwrap_or(kind).trim().to_lowercase());
        let invalid = |what: &str| {
            Problem::UnsupportedMedia(format!("Invalid {what} content in request's body"))
        };
        let value: Value = match kind.as_deref() {
            Some("application/json") => {
                serde_json::from_slice(&self.body).map_err(|_| invalid("JSON"))?
            }
            Some("application/x-yaml") => {
                serde_saphyr::from_slice(&self.body).map_err(|_| invalid("YAML"))?
            }
            Some(kind) => {
                return Err(Problem::UnsupportedMedia(format!(
                    "The Content-Type {kind} is not supported\nSupported: application/json, application/x-yaml"
                )));
            }
            None => {
                let text = "The Content-Type HTTP header has to be set";
                return Err(Problem::UnsupportedMedia(text.into()));
            }
        };
        match value {
            // A field without a value is one that is not there.
            Value::Object(mut fields) => {
                fields.retain(|_, value| !value.is_null());
                Ok(fields)
            }
            _ => Err(Problem::UnsupportedMedia(
                "The content of the request's body must be a Hash".into(),
            )),
        }
    }
}

impl Request {
    /// The fields as `T`. Error 4 (2 for the nodes, 7 for the environment) that names the
    /// field that does not fit.
    pub(super) fn decode<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        T::deserialize(&self.fields).map_err(|error| self.blame::<T>(&error))
    }

    /// The field that does not fit: any may be absent from a request, so each is tried alone.
    fn blame<T: DeserializeOwned>(&self, error: &serde_json::Error) -> Problem {
        let alone = |(name, value): (&String, &Value)| {
            let fields = Map::from_iter([(name.clone(), value.clone())]);
            let error = serde_json::from_value::<T>(Value::Object(fields)).err()?;
            Some((name.clone(), why(name, value, &error.to_string())))
        };
        let Some((name, why)) = self.fields.iter().find_map(alone) else {
            return Problem::new(Code::InvalidOption, error.to_string());
        };
        let code = match name.as_str() {
            "nodes" => Code::InvalidNodelist,
            "environment" => Code::InvalidEnvironment,
            "custom_operations" => Code::InvalidCustomOperation,
            _ => Code::InvalidOption,
        };
        Problem::parameter(code, &name, why)
    }

    /// An open segment of the path.
    pub(super) fn segment(&self, index: usize) -> &str {
        self.segments.get(index).map_or("", String::as_str)
    }

    /// A field that holds a text. Error 4 if it holds anything else.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Problem> {
        let Some(value) = self.fields.get(name) else { return Ok(None) };
        let wrong = || Problem::parameter(Code::InvalidOption, name, "should be a String");
        value.as_str().map(Some).ok_or_else(wrong)
    }

    /// A field that must be there and hold a hash. `code` if it does not.
    pub(super) fn hash(&self, name: &str, code: Code) -> Result<&Map<String, Value>, Problem> {
        match self.fields.get(name) {
            Some(Value::Object(hash)) => Ok(hash),
            Some(_) => Err(Problem::parameter(code, name, "should be a Hash")),
            None => Err(Problem::parameter(code, name, "mandatory")),
        }
    }

    /// A field that holds texts, or one text. Error 4 if it holds anything else.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>, Problem> {
        let wrong = || Problem::parameter(Code::InvalidOption, name, "should be a Array");
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(wrong);
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(list)) => list.iter().map(text).collect(),
            Some(one) => Ok(vec![text(one)?]),
        }
    }

    /// Whether it is only to be checked. Error 4 if that is neither true nor false.
    pub(super) fn dry_run(&self) -> Result<bool, Problem> {
        self.toggle("dry_run")
    }

    /// Error 4 where it is only to be checked: what this asks for is done or not.
    pub(super) fn not_dry(&self) -> Result<(), Problem> {
        if self.dry_run()? {
            let why = "cannot be used here: nothing can be checked without doing it";
            return Err(Problem::parameter(Code::InvalidOption, "dry_run", why));
        }
        Ok(())
    }

    /// Whether a toggle is set. Error 4 if it is neither true nor false.
    pub(super) fn toggle(&self, name: &str) -> Result<bool, Problem> {
        let wrong = || Problem::parameter(Code::InvalidOption, name, "should be a Boolean");
        let set = |value: &Value| value.as_bool().ok_or_else(wrong);
        self.fields.get(name).map_or(Ok(false), set)
    }
}

/// Why a value does not fit, in Kadeploy's words where it has any for it.
fn why(name: &str, value: &Value, error: &str) -> String {
    if let Some((_, known)) = error.strip_prefix("unknown variant").and_then(|e| e.split_once(", "))
    {
        let words: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        return format!("must have a value in ({})", words.join(","));
    }
    if let Some(field) = error.strip_prefix("missing field `") {
        let field = field.trim_end_matches('`');
        return format!("The field is mandatory [field: {field}]");
    }
    let Some((found, expected)) = error.split_once(", expected ") else {
        return error.to_owned();
    };
    if value.is_array() && expected.starts_with("struct ") {
        return "should be a Hash".into();
    }
    let inside = match value {
        Value::Object(_) => !found.ends_with(" map"),
        Value::Array(_) => !found.ends_with(" sequence"),
        _ => false,
    };
    match expected {
        // Of something deeper in it: where it is said.
        _ if inside => error.to_owned(),
        "u8" if value.is_number() && name == "verbose_level" => "must be in the range 1..5".into(),
        "u32" if value.is_number() => format!("must be in the range 0..{}", u32::MAX),
        "a boolean" => "should be a Boolean".into(),
        "a string" => "should be a String".into(),
        "a sequence" => "should be a Array".into(),
        kind if kind.starts_with(['u', 'i']) => "should be a Integer".into(),
        kind if kind.starts_with("struct ") || kind.contains("map") => "should be a Hash".into(),
        _ => error.to_owned(),
    }
}

//! A service that gives the answers it was told to give, and keeps what it was asked.

use serde_json::{Value, json};
use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

/// One request as it came over the wire.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// `GET /version`.
    pub(super) what: String,
    headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(n, _)| n == name);
        found.next().map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// 200 with the headers of the original.
    pub(super) fn of(kind: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = [
            ("Etag", ""),
            ("Cache-Control", "no-store, no-cache"),
            ("Pragma", "no-cache"),
            ("Content-Type", kind),
            ("Content-Encoding", ""),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { status: 200, headers, body: body.into() }
    }

    pub(super) fn json(value: &Value) -> Self {
        let text = serde_json::to_string_pretty(value).unwrap();
        Self::of("application/json; charset=\"UTF-8\"", text)
    }

    pub(super) fn text(text: &str) -> Self {
        Self::of("text/plain; charset=\"UTF-8\"", text)
    }

    /// The body packed, as the original does it for everything that is no text.
    pub(super) fn packed(mut self) -> Self {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(&self.body).unwrap();
        self.body = packer.finish().unwrap();
        self.set("Content-Encoding", "gzip")
    }

    pub(super) fn set(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(n, _)| n != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// An application error.
    pub(super) fn error(number: u8, text: &str) -> Self {
        let answer = Self::text(text).status(400);
        answer.set("X-Application-Error-Code", &number.to_string())
    }
}

type Reply = Box<dyn FnMut(&Asked) -> Answer + Send>;

#[derive(Default)]
struct Inside {
    asked: Vec<Asked>,
    replies: HashMap<String, Vec<Reply>>,
}

/// The service. It listens as long as the process lives.
#[derive(Clone)]
pub(super) struct Stub {
    pub(super) port: u16,
    inside: Arc<Mutex<Inside>>,
}

impl Stub {
    /// What every program asks for, with these nodes.
    pub(super) fn new(nodes: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stub = Self { port: listener.local_addr().unwrap().port(), inside: Arc::default() };
        stub.gives("GET /version", Answer::text("3.3.11.stable\n"));
        stub.gives("GET /auth_headers_prefix", Answer::text("X-Kadeploy-\n"));
        stub.gives("GET /nodes?user=anna&list=true", Answer::json(&json!(nodes)));
        let inside = Arc::clone(&stub.inside);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let inside = Arc::clone(&inside);
                std::thread::spawn(move || serve(stream, &inside));
            }
        });
        stub
    }

    /// From now on it answers `what` so; after several of these in turn, and the last one for ever.
    pub(super) fn gives(&self, what: &str, answer: Answer) {
        self.does(what, move |_| answer.clone());
    }

    /// The same instead of all that it was told about `what` before.
    pub(super) fn gives_only(&self, what: &str, answer: Answer) {
        self.inside.lock().unwrap().replies.remove(what);
        self.gives(what, answer);
    }

    /// The same with an answer that depends on the request.
    pub(super) fn does(&self, what: &str, reply: impl FnMut(&Asked) -> Answer + Send + 'static) {
        let mut inside = self.inside.lock().unwrap();
        inside.replies.entry(what.to_owned()).or_default().push(Box::new(reply));
    }

    /// An operation that ends at once: its resources, from the request to its end.
    pub(super) fn operation(&self, create: &str, wid: &str, end: &Operation) {
        let kind = match &wid[..1] {
            "D" => "deployment",
            "R" => "reboot",
            _ => "power",
        };
        let base = format!("/{kind}/{wid}");
        let at = |rest: &str| format!("{base}/{rest}");
        self.gives(
            create,
            Answer::json(&json!({"wid": wid, "resources": {
                "resource": at(""), "log": at("logs"), "state": at("state"),
                "status": at("status"), "error": at("error"), "debug": at("debugs"),
            }})),
        );
        for poll in &end.polls {
            self.gives(&format!("GET {base}/"), Answer::json(poll).packed());
        }
        for text in &end.logs {
            self.gives(&format!("GET {}", at("logs")), Answer::text(text));
        }
        self.gives(&format!("GET {}", at("debugs")), Answer::text(&end.debugs));
        self.gives(&format!("GET {}", at("state")), Answer::json(&end.state));
        self.gives(&format!("GET {}", at("status")), Answer::json(&end.status));
        self.gives(&format!("DELETE {base}/"), Answer::json(&json!({"wid": wid})));
    }

    /// What it was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.inside.lock().unwrap().asked.clone()
    }

    /// The same, method and path only.
    pub(super) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.what).collect()
    }

    /// The request of this method and path.
    #[track_caller]
    pub(super) fn request(&self, what: &str) -> Asked {
        let found = self.asked().into_iter().find(|asked| asked.what == what);
        found.unwrap_or_else(|| panic!("{what} is not in {:#?}", self.lines()))
    }

    /// Waits until it was asked that.
    pub(super) fn wait_for(&self, what: &str) {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !self.lines().iter().any(|line| line == what) {
            assert!(std::time::Instant::now() < end, "{what} is not in {:#?}", self.lines());
            std::thread::yield_now();
        }
    }
}

/// How an operation goes.
#[derive(Default)]
pub(super) struct Operation {
    pub(super) polls: Vec<Value>,
    pub(super) logs: Vec<&'static str>,
    pub(super) debugs: String,
    pub(super) state: Value,
    pub(super) status: Value,
}

/// The answer to a poll of one that has ended.
pub(super) fn ended(ok: &[&str], ko: &[&str]) -> Value {
    json!({"done": true, "error": false, "logs": true, "debugs": true, "nodes": {"ok": ok, "ko": ko}})
}

/// The answer to a poll of one that runs.
pub(super) fn running() -> Value {
    json!({
        "done": false, "error": false, "logs": false, "debugs": false, "time": 1.22,
        "nodes": {"ok": [], "ko": [], "processing": ["node-1.testbed.lan"]},
    })
}

fn serve(stream: TcpStream, inside: &Mutex<Inside>) {
    let mut reader = BufReader::new(stream);
    let Some(asked) = read(&mut reader) else { return };
    let mut stream = reader.into_inner();
    // Taken out, so that an answer may take its time.
    let mut reply = {
        let mut inside = inside.lock().unwrap();
        inside.asked.push(asked.clone());
        let replies = inside.replies.entry(asked.what.clone()).or_default();
        if replies.is_empty() { None } else { Some(replies.remove(0)) }
    };
    let answer = match &mut reply {
        Some(reply) => reply(&asked),
        None => Answer::text("File Not Found -- not in this test\n").status(404),
    };
    if let Some(reply) = reply {
        let mut inside = inside.lock().unwrap();
        let replies = inside.replies.entry(asked.what).or_default();
        if replies.is_empty() {
            replies.push(reply);
        }
    }
    let mut text = format!("HTTP/1.1 {} X\r\n", answer.status);
    for (name, value) in &answer.headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("Content-Length: {}\r\nConnection: close\r\n\r\n", answer.body.len());
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.write_all(&answer.body));
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end().to_owned();
        (!line.is_empty()).then_some(line)
    };
    let what = line()?.trim_end_matches(" HTTP/1.1").to_owned();
    let mut headers = Vec::new();
    while let Some(line) = line() {
        let (name, value) = line.split_once(':').unwrap();
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut asked = Asked { what, headers, body: String::new() };
    if let Some(length) = asked.header("Content-Length") {
        let mut body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body).ok()?;
        asked.body = String::from_utf8(body).unwrap();
    }
    Some(asked)
}

//! `client.conf`.

use crate::check::Check;
use crate::key::{default, mandatory};
use crate::macros::section;
use crate::read::{Reader, nearest};
use crate::tree::Located;

section! {
    /// `client.conf`.
    pub struct Client (check = default_is_a_server) {
        /// Name of the server that is meant where none is named.
        default: String => mandatory(),
        /// The servers.
        servers: Vec<ClientServer> => mandatory(),
    }
}

section! {
    /// A server that clients know.
    pub struct ClientServer {
        /// What it is called here.
        name: String => mandatory(),
        /// Its host.
        hostname: String => mandatory(),
        /// Its port.
        port: u16 => mandatory().check(Check::Range(1, 65_535)),
        /// TLS.
        secure: bool => default("true"),
        /// What the names of its headers start with; empty = ask the server.
        auth_headers_prefix: Option<String> => default("''"),
    }
}

impl Client {
    /// A server by its name here; the default one without a name.
    pub fn server(&self, name: Option<&str>) -> Option<&ClientServer> {
        let name = name.unwrap_or(&self.default);
        self.servers.iter().find(|server| server.name == name)
    }
}

fn default_is_a_server(client: &Client, at: &Located, cx: &mut Reader<'_>) {
    let names: Vec<_> = client.servers.iter().map(|server| server.name.as_str()).collect();
    if let Some(at) = at.get("default").filter(|_| !names.contains(&client.default.as_str())) {
        let hint = nearest(&client.default, names.iter().copied())
            .map(|near| format!("did you mean `{near}`?"));
        let expected = format!("the name of a server: {}", crate::read::one_of(&names));
        let found = crate::read::not_allowed(&client.default, &names);
        cx.mistakes.push(crate::mistake::Mistake::new(at, found, expected).hint(hint));
    }
}

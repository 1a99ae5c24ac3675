//! Who asks, over the wire, in the clear and with TLS.

use crate::common::{Answer, Service, Site};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use reqwest::{Client, Identity, Method};
use serde_json::{Value, json};
use std::{fs, path::Path, process::Command};

/// Of "secret", made by OpenSSL.
const HASH: &str = "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/";

const ACL: &str = "authentication: {acl: {whitelist: [127.0.0.1]}}";

fn with(authentication: &str) -> Service {
    let site = Site::new();
    site.edit("server.conf", ACL, &format!("authentication: {authentication}"));
    site.write("htpasswd", &format!("anna:{HASH}\n"));
    Service::on(site)
}

#[tokio::test]
async fn a_password_is_asked_for_and_changes_with_its_file() {
    let service = with("{http_basic: {dbfile: htpasswd, realm: the lab}}");
    let get = |user: &'static str, password: &'static str| {
        let request = service.nobody().request(Method::GET, "/nodes");
        Answer::to(request.basic_auth(user, Some(password)))
    };
    get("anna", "secret").await.ok();
    for answer in [get("anna", "wrong").await, get("ben", "secret").await] {
        let answer =
            answer.refused(401, &["Authentication failed: Invalid authentication credentials"]);
        assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"the lab\""));
    }
    // Who says who he is and proves nothing is nobody.
    let claimed = service.user("anna").get("/nodes").await;
    claimed.refused(401, &["Authentication failed: valid methods are http_basic"]);
    let text = "no user specified in the X-Kadeploy-User HTTP header or using the HTTP Basic Authentication method";
    service.nobody().get("/nodes").await.refused(401, &[text]);
    // The name that counts is the one that was proven.
    let request = service.user("root").request(Method::GET, "/rights");
    Answer::to(request.basic_auth("anna", Some("secret"))).await.refused(403, &[]);
    service.write("htpasswd", &format!("# nobody else\nben:{HASH}\n"));
    get("anna", "secret").await.refused(401, &[]);
    get("ben", "secret").await.ok();
    // What needs no user needs no password.
    service.nobody().get("/version").await.ok();
}

#[tokio::test]
async fn hosts_are_trusted_by_address_name_and_expression() {
    for (list, trusted) in [
        ("[127.0.0.0/8]", true),
        ("[localhost]", true),
        ("[/^localhost/]", true),
        ("[192.0.2.0/24, '/^elsewhere/']", false),
    ] {
        let service = with(&format!("{{acl: {{whitelist: {list}}}}}"));
        let answer = service.user("anna").get("/nodes").await;
        if trusted {
            answer.ok();
        } else {
            answer.refused(401, &["Authentication failed: valid methods are acl"]);
        }
    }
}

#[tokio::test]
async fn the_headers_may_have_other_names() {
    let service = with("{global: {headers_prefix: X-Lab-}, acl: {whitelist: [localhost]}}");
    assert_eq!(service.nobody().get("/auth_headers_prefix").await.ok().text, "X-Lab-\n");
    service.user("anna").get("/nodes").await.refused(401, &["in the X-Lab-User HTTP header"]);
    let request = service.nobody().request(Method::GET, "/nodes").header("X-Lab-User", "anna");
    Answer::to(request).await.ok();
    assert_eq!(service.cli(&["nodes"]).await.0, 1);
    assert_eq!(service.cli(&["nodes", "--headers-prefix", "X-Lab-"]).await.0, 0);
}

#[tokio::test]
async fn a_host_that_cannot_be_resolved_keeps_the_service_from_starting() {
    let site = Site::new();
    site.edit("server.conf", "whitelist: [127.0.0.1]", "whitelist: [no-such-host.invalid]");
    let text = crate::common::start_refused(&site);
    for word in ["authentication/acl/whitelist", "cannot resolve no-such-host.invalid"] {
        assert!(text.contains(word), "{text}");
    }
}

#[tokio::test]
async fn a_token_is_good_for_its_scope_until_it_is_revoked() {
    let site = Site::new();
    site.edit("server.conf", "almighty_users: root", "almighty_users: 'root,anna'");
    let service = Service::on(site);
    let make = async |scope: &str| {
        let words = ["token", "create", "--scope", scope, "--expires-in", "1h", "--json"];
        let (code, out, err) = service.cli(&words).await;
        assert_eq!(code, 0, "{err}");
        serde_json::from_str::<Value>(&out).unwrap()
    };
    let made = make("read,power").await;
    let token = made["token"].as_str().unwrap().to_owned();
    let ask = async |method: Method, path: &str, body: Value| {
        let request = service.nobody().request(method, path).bearer_auth(&token);
        Answer::to(request.json(&body)).await
    };
    let on = json!({"nodes": ["node-1"], "status": "on"});
    ask(Method::GET, "/nodes", json!({})).await.ok();
    ask(Method::PUT, "/power", on.clone()).await.ok();
    let no = "Forbidden -- this token is not good for that";
    ask(Method::POST, "/deployment", json!({})).await.refused(403, &[no]);
    ask(Method::POST, "/tokens", json!({})).await.refused(403, &[no]);
    ask(Method::GET, "/tokens", json!({})).await.refused(403, &[no]);
    // An administrator's token is none of an administrator unless that was said.
    ask(Method::GET, "/rights", json!({})).await.refused(403, &["Only administrators"]);
    let admin = make("read,admin").await;
    let request = service.nobody().request(Method::GET, "/rights/x");
    Answer::to(request.bearer_auth(admin["token"].as_str().unwrap())).await.ok();

    let (_, list, _) = service.cli(&["token", "list"]).await;
    let id = made["id"].as_str().unwrap();
    assert!(list.contains(id) && list.contains("power,read"), "{list}");
    let secret = token.rsplit('_').next().unwrap();
    assert!(!list.contains(secret));
    assert!(service.log().iter().all(|line| !line.contains(secret)));
    // The command line uses one.
    service.write("token", &token);
    let file = service.path("token");
    let words = ["power", "on", "-m", "node-1", "--token-file", file.to_str().unwrap()];
    assert_eq!(service.cli(&words).await.0, 0);
    assert_eq!(service.cli(&["token", "revoke", id]).await.0, 0);
    ask(Method::GET, "/nodes", json!({})).await.refused(401, &["Invalid token"]);
    for body in [json!({"scope": ["read"]}), json!({"scope": ["all"], "lifetime": 9}), json!({})] {
        service.user("anna").post("/tokens", &body).await.refused_with(4, &[]);
    }
}

/// An https client of `service` that trusts `ca`.
fn client(ca: &Path, identity: Option<Identity>) -> Client {
    let trusted = reqwest::Certificate::from_pem(&fs::read(ca).unwrap()).unwrap();
    let builder = Client::builder().tls_certs_only([trusted]);
    match identity {
        Some(identity) => builder.identity(identity).build().unwrap(),
        None => builder.build().unwrap(),
    }
}

fn url(service: &Service, path: &str) -> String {
    format!("https://localhost:{}{path}", service.port)
}

async fn cli(service: &Service, words: &[&str]) -> (i32, String) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_kadence"));
    command.args(words).args(["--server", &url(service, ""), "--user", "anna"]);
    let output = command.current_dir(service.dir()).output().await.unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn the_service_makes_itself_a_certificate_and_keeps_it() {
    let site = Site::new();
    site.edit("server.conf", "secure_server: false", "secure_server: true");
    let service = Service::on(site);
    let ca = service.path("state/tls/certificate.pem");
    let request = client(&ca, None).get(url(&service, "/version"));
    assert_eq!(request.send().await.unwrap().text().await.unwrap(), "test\n");
    // Nobody is served in the clear, and nobody who does not trust it takes it for the service.
    assert!(reqwest::get(service.url("/version")).await.is_err());
    let (code, text) = cli(&service, &["nodes"]).await;
    assert!(code == 1 && text.contains("certificate") && text.contains("--ca FILE"), "{text}");
    assert_eq!(cli(&service, &["nodes", "--insecure"]).await.0, 0);
    let deploy = ["power", "on", "-m", "node-1", "--ca", ca.to_str().unwrap()];
    let (code, text) = cli(&service, &deploy).await;
    assert_eq!(code, 0, "{text}");
    let key = fs::metadata(service.path("state/tls/key.pem")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);
    let before = fs::read(&ca).unwrap();
    let service = Service::on(service.stop());
    assert_eq!(fs::read(&ca).unwrap(), before);
    let request = client(&ca, None).get(url(&service, "/version"));
    assert_eq!(request.send().await.unwrap().status(), 200);
}

struct Ca {
    params: CertificateParams,
    pair: KeyPair,
}

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { params, pair: KeyPair::generate().unwrap() }
    }

    fn pem(&self) -> String {
        self.params.self_signed(&self.pair).unwrap().pem()
    }

    /// Certificate and key for a user or a host.
    fn sign(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let pair = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.pair);
        (params.signed_by(&pair, &issuer).unwrap().pem(), pair.serialize_pem())
    }
}

#[tokio::test]
async fn a_certificate_of_the_connection_proves_the_user() {
    let (ca, other) = (Ca::new(), Ca::new());
    let site = Site::new();
    site.write("ca.pem", &ca.pem());
    let (certificate, key) = ca.sign("localhost");
    site.write("service.pem", &certificate);
    site.write("service.key", &key);
    let given = "secure_server: true, certificate: service.pem, private_key: {file: service.key, algorithm: EC}";
    site.edit("server.conf", "secure_server: false", given);
    site.edit("server.conf", ACL, "authentication: {certificate: {ca_cert: ca.pem}}");
    let service = Service::on(site);
    let trusted = service.path("ca.pem");
    let identity = |(certificate, key): (String, String)| {
        Some(Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap())
    };
    let anna = client(&trusted, identity(ca.sign("anna")));
    assert_eq!(anna.get(url(&service, "/nodes")).send().await.unwrap().status(), 200);
    let status = async |user: &str| {
        let request = anna.get(url(&service, "/nodes")).header("X-Kadeploy-User", user);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!((status("anna").await, status("root").await), (200, 401));
    let nobody = client(&trusted, None);
    assert_eq!(nobody.get(url(&service, "/nodes")).send().await.unwrap().status(), 401);
    assert_eq!(nobody.get(url(&service, "/version")).send().await.unwrap().status(), 200);
    // One of another authority does not even get a connection.
    let stranger = client(&trusted, identity(other.sign("anna")));
    assert!(stranger.get(url(&service, "/nodes")).send().await.is_err());
}

#[test]
fn a_key_that_does_not_belong_to_the_certificate_is_told() {
    let (ca, site) = (Ca::new(), Site::new());
    site.write("service.pem", &ca.sign("localhost").0);
    site.write("service.key", &ca.sign("localhost").1);
    let given = "secure_server: true, certificate: service.pem, private_key: {file: service.key, algorithm: EC}";
    site.edit("server.conf", "secure_server: false", given);
    let text = crate::common::start_refused(&site);
    assert!(text.contains("do not go together"), "{text}");
}

#[test]
fn the_check_warns_where_everybody_is_believed() {
    let site = Site::new();
    let check = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kadence"));
        let output = command.args(["check", "--config-dir"]).arg(site.dir()).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let text = "every host of the network may say that it is any user";
    for everybody in ["0.0.0.0/0", "'/.*/'"] {
        site.edit("server.conf", "whitelist: [127.0.0.1]", &format!("whitelist: [{everybody}]"));
        assert!(!check().contains(text), "{}", check());
        site.edit("server.conf", "local_only: true", "local_only: false");
        assert!(check().contains(text), "{}", check());
        site.edit("server.conf", "local_only: false", "local_only: true");
        site.edit("server.conf", &format!("whitelist: [{everybody}]"), "whitelist: [127.0.0.1]");
    }
}

use super::*;
use crate::store::{EmbeddedStore, MemoryDisk};
use base64::{Engine, engine::general_purpose::STANDARD};
use config::model::access::Host;
use rcgen::{CertificateParams, DnType, Issuer, KeyPair};
use std::net::Ipv4Addr;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    task::JoinSet,
};
use warp::http::{HeaderMap, HeaderValue, Method};

/// An authority, and certificates that it or somebody else signs.
struct Ca {
    pem: String,
    key: String,
    params: CertificateParams,
    pair: KeyPair,
}

fn ca() -> Ca {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pair = KeyPair::generate().unwrap();
    let pem = params.self_signed(&pair).unwrap().pem();
    Ca { pem, key: pair.public_key_pem(), params, pair }
}

impl Ca {
    fn sign(&self, name: &str, years: (i32, i32)) -> rcgen::Certificate {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let issuer = Issuer::from_params(&self.params, &self.pair);
        params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap()
    }
}

const NOW: (i32, i32) = (2000, 2999);

fn access(certificate: Option<Authority>, acl: Option<&str>, basic: bool) -> Access {
    let store = EmbeddedStore::on_disk(MemoryDisk::new()).unwrap();
    let network = |text: &str| {
        let address = text.parse().unwrap();
        Hosts::new(&[config::model::access::Host::Network { address, prefix: 32 }]).unwrap()
    };
    Access {
        prefix: "X-Lab-".into(),
        acl: acl.map(network),
        basic: basic.then(|| Basic::new(Hosts::local(), "the \"lab\"".into(), "/none".into())),
        certificate: certificate.map(|authority| (Hosts::local(), authority)),
        ident: None,
        store: Arc::new(store),
    }
}

/// An ident service that names `user` for every connection.
async fn ident(user: &'static str, tasks: &mut JoinSet<()>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tasks.spawn(async move {
        loop {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            let mut asked = String::new();
            stream.read_line(&mut asked).await.unwrap();
            let answer = format!("{} : USERID : UNIX : {user}\r\n", asked.trim());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    port
}

#[tokio::test]
async fn the_ident_service_of_the_client_names_the_user() {
    let mut tasks = JoinSet::new();
    let port = ident("anna", &mut tasks).await;
    let with = |hosts: Hosts| Access { ident: Some((hosts, port)), ..access(None, None, false) };
    let known = with(Hosts::local());
    // It names who says nothing, and proves who says it.
    assert_eq!(ask(&known, "127.0.0.1", &[]).await.unwrap(), "anna");
    assert_eq!(ask(&known, "127.0.0.1", &[("x-lab-user", "anna")]).await.unwrap(), "anna");
    let text = ask(&known, "127.0.0.1", &[("x-lab-user", "root")]).await.unwrap_err();
    assert_eq!(text, "Specified user does not match with the one given by the ident service");
    let network = Host::Network { address: "192.0.2.0".parse().unwrap(), prefix: 24 };
    let elsewhere = with(Hosts::new(&[network]).unwrap());
    for said in [&[][..], &[("x-lab-user", "anna")]] {
        assert_eq!(ask(&elsewhere, "127.0.0.1", said).await.unwrap_err(), UNTRUSTED);
    }
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let nobody = Access { ident: Some((Hosts::local(), port)), ..access(None, None, false) };
    let text = ask(&nobody, "127.0.0.1", &[]).await.unwrap_err();
    assert_eq!(text, "Connection to ident service was refused");
}

fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
    all.iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap()))
        .collect()
}

async fn ask(access: &Access, from: &str, all: &[(&'static str, &str)]) -> Result<String, String> {
    let peer =
        Peer { address: format!("{from}:4000").parse().unwrap(), port: 25300, certificate: None };
    match access.user(&peer, &headers(all)).await {
        Ok(identity) => Ok(identity.user),
        Err(problem) => {
            Err(problem.to_string().replace("Unauthorized -- Authentication failed: ", ""))
        }
    }
}

fn authority(text: &str, cert: bool) -> Authority {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, text).unwrap();
    let key = config::model::access::KeyFile {
        file: Some(file.clone()),
        algorithm: config::model::access::KeyAlgorithm::Ec,
    };
    Authority::new(&config::model::access::ClientCertificate {
        ca_public_key: (!cert).then_some(key),
        ca_cert: cert.then_some(file),
        whitelist: Vec::new(),
    })
    .unwrap()
}

#[tokio::test]
async fn a_certificate_proves_the_user_that_it_names() {
    let (ours, other) = (ca(), ca());
    for authority in [authority(&ours.pem, true), authority(&ours.key, false)] {
        let access = access(Some(authority), None, false);
        let good = ours.sign("anna", NOW);
        let pem = STANDARD.encode(good.pem());
        let der = STANDARD.encode(good.der());
        for shown in [&pem, &der, &der.trim_end_matches('=').to_owned()] {
            let said = [("x-lab-user", "anna"), ("x-lab-certificate", shown.as_str())];
            assert_eq!(ask(&access, "127.0.0.1", &said).await.unwrap(), "anna");
            // Who does not say who he is, is whom the certificate names.
            assert_eq!(ask(&access, "127.0.0.1", &said[1..]).await.unwrap(), "anna");
        }
        let cases = [
            (ours.sign("ben", NOW), "Specified user does not match with the certificate's CN"),
            (other.sign("anna", NOW), "The certificate was not signed by the trusted CA"),
            (ours.sign("anna", (2000, 2001)), "The certificate has expired or is not valid yet"),
            (ours.sign("anna", (2900, 2999)), "The certificate has expired or is not valid yet"),
        ];
        for (certificate, text) in cases {
            let shown = STANDARD.encode(certificate.pem());
            let said = [("x-lab-user", "anna"), ("x-lab-certificate", shown.as_str())];
            assert_eq!(ask(&access, "127.0.0.1", &said).await.unwrap_err(), text);
        }
        for shown in ["", "!", "AAAA", &STANDARD.encode("-----BEGIN nothing")] {
            let said = [("x-lab-user", "anna"), ("x-lab-certificate", shown)];
            let text = ask(&access, "127.0.0.1", &said).await.unwrap_err();
            assert!(text.starts_with("The certificate "), "{text}");
        }
        let said = [("x-lab-user", "anna"), ("x-lab-certificate", pem.as_str())];
        assert_eq!(ask(&access, "192.0.2.1", &said).await.unwrap_err(), UNTRUSTED);
    }
}

#[tokio::test]
async fn the_first_method_that_applies_decides() {
    let access = access(None, Some("192.0.2.7"), true);
    let anna = ("x-lab-user", "anna");
    assert_eq!(ask(&access, "192.0.2.7", &[anna]).await.unwrap(), "anna");
    // A trusted host is believed, whatever else is said.
    let basic = ("authorization", "Basic YW5uYTp4");
    assert_eq!(ask(&access, "192.0.2.7", &[anna, basic]).await.unwrap(), "anna");
    let text = ask(&access, "192.0.2.8", &[anna]).await.unwrap_err();
    assert_eq!(text, "valid methods are acl, http_basic");
    assert_eq!(ask(&access, "192.0.2.8", &[anna, basic]).await.unwrap_err(), UNTRUSTED);
    let text = ask(&access, "192.0.2.7", &[]).await.unwrap_err();
    assert_eq!(
        text,
        "no user specified in the X-Lab-User HTTP header or using the HTTP Basic Authentication method"
    );
    assert_eq!(access.challenge().unwrap(), "Basic realm=\"the lab\"");
    // The default prefix is not this one.
    assert!(ask(&access, "192.0.2.7", &[("x-kadeploy-user", "anna")]).await.is_err());
}

#[tokio::test]
async fn a_token_is_its_user_as_long_as_it_is_good() {
    let access = access(None, None, false);
    let store = &*access.store;
    let wish = tokens::Wish { name: "ci".into(), scope: vec!["read".into()], lifetime: Some(60) };
    let made = tokens::create(store, "anna", wish).await.unwrap();
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    assert_eq!(ask(&access, "192.0.2.1", &[("authorization", &bearer)]).await.unwrap(), "anna");
    let kept = format!("{:?}", store.tokens().await.unwrap());
    let secret = bearer.rsplit('_').next().unwrap();
    assert!(!kept.contains(secret), "{kept}");
    for wrong in ["Bearer x", "Bearer kadence_x_y", &bearer[..bearer.len() - 1]] {
        let text = ask(&access, "192.0.2.1", &[("authorization", wrong)]).await.unwrap_err();
        assert_eq!(text, "Invalid token");
    }
    let id = made["id"].as_str().unwrap();
    assert!(tokens::revoke(store, Some("ben"), id).await.is_err());
    tokens::revoke(store, Some("anna"), id).await.unwrap();
    let text = ask(&access, "192.0.2.1", &[("authorization", &bearer)]).await.unwrap_err();
    assert_eq!(text, "Invalid token");
    // One that has expired is told so, and then forgotten.
    let wish =
        tokens::Wish { name: String::new(), scope: vec!["power".into()], lifetime: Some(60) };
    let made = tokens::create(store, "anna", wish).await.unwrap();
    let mut record = store.tokens().await.unwrap().remove(0);
    record.expires = 1;
    store.commit(crate::store::Change::new().put_token(record)).await.unwrap();
    let bearer = format!("bearer {}", made["token"].as_str().unwrap());
    let text = ask(&access, "192.0.2.1", &[("authorization", &bearer)]).await.unwrap_err();
    assert_eq!(text, "This token has expired");
    tokens::sweep(store).await.unwrap();
    assert!(store.tokens().await.unwrap().is_empty());
    assert!(!Scope::new(vec!["power".into()]).unwrap().admits(&Method::GET, "/nodes", false));
}

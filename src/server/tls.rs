//! The certificate of the service: the given one, or one that is made once and kept.

use crate::access;
use anyhow::{Context, bail};
use config::{Config, model::access::KeyAlgorithm};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio_rustls::TlsAcceptor;

/// What is spoken over it.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The encryption of the service's port; none where it is off.
///
/// # Errors
/// A certificate or key that cannot be read or used, or that do not go together.
pub(super) fn acceptor(config: &Config) -> anyhow::Result<Option<TlsAcceptor>> {
    if !config.server.security.secure_server {
        return Ok(None);
    }
    let pair = match given(config)? {
        Some(pair) => pair,
        None => made(config)?,
    };
    server(config, pair).map(|server| Some(TlsAcceptor::from(Arc::new(server))))
}

/// Whether what the configuration gives can be used; nothing is made.
///
/// # Errors
/// As [`acceptor`].
pub(super) fn look(config: &Config) -> anyhow::Result<()> {
    if !config.server.security.secure_server {
        return Ok(());
    }
    match given(config)? {
        Some(pair) => server(config, pair).map(drop),
        None => authority(config).map(drop),
    }
}

/// The files of certificate and key that the configuration names.
fn given(config: &Config) -> anyhow::Result<Option<(PathBuf, PathBuf)>> {
    let security = &config.server.security;
    let (Some(certificate), Some(key)) = (&security.certificate, &security.private_key) else {
        return Ok(None);
    };
    if key.algorithm == KeyAlgorithm::Dsa {
        bail!("security/private_key: DSA is not used any more: take a key of RSA or EC");
    }
    let file = key.file.clone().context("security/private_key has no file")?;
    Ok(Some((certificate.clone(), file)))
}

/// The server that shows this certificate, with its key.
fn server(config: &Config, (certificate, key): (PathBuf, PathBuf)) -> anyhow::Result<ServerConfig> {
    let chain = certificates(&certificate)?;
    let private = PrivateKeyDer::from_pem_file(&key)
        .with_context(|| format!("cannot use the key in {}", key.display()))?;
    let builder = ServerConfig::builder();
    let builder = match authority(config)? {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            // Whoever has no certificate may still say who he is in another way.
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated();
            builder.with_client_cert_verifier(verifier.build()?)
        }
    };
    let mut server = builder.with_single_cert(chain, private).with_context(|| {
        format!("{} and {} do not go together", certificate.display(), key.display())
    })?;
    server.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(server)
}

fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let context = || format!("cannot use the certificate in {}", file.display());
    let read = CertificateDer::pem_file_iter(file).with_context(context)?;
    let chain: Vec<_> = read.collect::<Result<_, _>>().with_context(context)?;
    if chain.is_empty() {
        bail!("{} holds no certificate", file.display());
    }
    Ok(chain)
}

/// Who signs the certificates of clients, where there is one.
fn authority(config: &Config) -> anyhow::Result<Option<RootCertStore>> {
    let written = config.server.authentication.certificate.as_ref();
    let Some(file) = written.and_then(|one| one.ca_cert.as_ref()) else { return Ok(None) };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).with_context(|| format!("cannot trust {}", file.display()))?;
    }
    Ok(Some(roots))
}

/// A certificate of our own, signed by nobody else: clients that are given it can tell the
/// service from others. It is made at the first start and stays, so that they need it once.
fn made(config: &Config) -> anyhow::Result<(PathBuf, PathBuf)> {
    let folder = config.server.state_dir.join("tls");
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    if certificate.exists() && key.exists() {
        return Ok((certificate, key));
    }
    let name = access::own_name(config);
    let names = vec![name.clone(), "localhost".into(), "127.0.0.1".into()];
    let mut params = CertificateParams::new(names)
        .with_context(|| format!("{name} cannot be the name of a service"))?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let pair = KeyPair::generate()?;
    let signed = params.self_signed(&pair)?;
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    write(&key, &pair.serialize_pem(), 0o600)?;
    write(&certificate, &signed.pem(), 0o644)?;
    tracing::info!(certificate = %certificate.display(), "made a certificate: give it to clients, as --ca");
    Ok((certificate, key))
}

/// Writes a file whole or not at all.
fn write(file: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let part = file.with_extension("part");
    let written = || {
        let mut options = fs::OpenOptions::new();
        let mut open = options.write(true).create(true).truncate(true).mode(mode).open(&part)?;
        open.write_all(text.as_bytes())?;
        open.sync_all()?;
        fs::rename(&part, file)
    };
    written().with_context(|| format!("cannot write {}", file.display()))
}

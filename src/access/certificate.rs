//! x509 certificates: in a header, as old clients send them, or of the TLS connection.

use anyhow::{Context, bail};
use base64::{Engine, alphabet, engine};
use config::model::access::{ClientCertificate, KeyAlgorithm};
use std::{fs, path::Path};
use x509_parser::{
    pem::Pem,
    prelude::{FromDer, X509Certificate},
    time::ASN1Time,
    x509::SubjectPublicKeyInfo,
};

/// Base64 with or without padding.
const CODED: engine::GeneralPurpose = engine::GeneralPurpose::new(
    &alphabet::STANDARD,
    engine::GeneralPurposeConfig::new()
        .with_decode_padding_mode(engine::DecodePaddingMode::Indifferent),
);

/// What those are told whose certificate another authority signed.
const UNSIGNED: &str = "The certificate was not signed by the trusted CA";

/// Who signs the certificates of users.
pub(super) struct Authority {
    /// Its public key, DER.
    key: Vec<u8>,
}

impl Authority {
    /// The authority of the configuration: its certificate, else its public key.
    ///
    /// # Errors
    /// The file holds neither, or a key of a kind that nobody should trust any more.
    pub(super) fn new(written: &ClientCertificate) -> anyhow::Result<Self> {
        if let Some(file) = &written.ca_cert {
            let der = pem(file)?;
            let (_, certificate) = X509Certificate::from_der(&der)
                .map_err(|_| anyhow::anyhow!("{} holds no certificate", file.display()))?;
            return Ok(Self { key: certificate.public_key().raw.to_vec() });
        }
        let Some(key) = &written.ca_public_key else { bail!("no authority") };
        if key.algorithm == KeyAlgorithm::Dsa {
            bail!("DSA signatures are not checked any more: use an authority with RSA or EC");
        }
        let Some(file) = &key.file else { bail!("no file of the authority's key") };
        let der = pem(file)?;
        SubjectPublicKeyInfo::from_der(&der)
            .map_err(|_| anyhow::anyhow!("{} holds no public key", file.display()))?;
        Ok(Self { key: der })
    }

    /// The names in the certificate of a header, if it is signed and its time is now.
    pub(super) fn header(&self, text: &str) -> Result<Vec<String>, &'static str> {
        let coded: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let bytes = CODED.decode(coded).map_err(|_| "The certificate is not in base64")?;
        let unreadable = "The certificate cannot be read";
        let der = if bytes.starts_with(b"-----BEGIN") {
            let (pem, _) = Pem::read(std::io::Cursor::new(bytes)).map_err(|_| unreadable)?;
            pem.contents
        } else {
            bytes
        };
        let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| unreadable)?;
        let (_, key) = SubjectPublicKeyInfo::from_der(&self.key).map_err(|_| UNSIGNED)?;
        certificate.verify_signature(Some(&key)).map_err(|_| UNSIGNED)?;
        if !certificate.validity().is_valid_at(ASN1Time::now()) {
            return Err("The certificate has expired or is not valid yet");
        }
        Ok(common_names(&certificate))
    }
}

/// The names in a certificate.
pub(super) fn names(der: &[u8]) -> Result<Vec<String>, &'static str> {
    let parsed = X509Certificate::from_der(der).map_err(|_| "The certificate cannot be read")?;
    Ok(common_names(&parsed.1))
}

fn common_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names = certificate.subject().iter_common_name();
    names.filter_map(|name| name.as_str().ok()).map(str::to_owned).collect()
}

/// The first block of a PEM file.
fn pem(file: &Path) -> anyhow::Result<Vec<u8>> {
    let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let (pem, _) = Pem::read(std::io::Cursor::new(text))
        .map_err(|_| anyhow::anyhow!("{} is no PEM file", file.display()))?;
    Ok(pem.contents)
}

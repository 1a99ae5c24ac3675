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
#[derive(Debug)]
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
            let der = pem(file)?.contents;
            let (_, certificate) = X509Certificate::from_der(&der)
                .map_err(|_| anyhow::anyhow!("{} holds no certificate", file.display()))?;
            return Ok(Self { key: certificate.public_key().raw.to_vec() });
        }
        let Some(key) = &written.ca_public_key else { bail!("no authority") };
        if key.algorithm == KeyAlgorithm::Dsa {
            bail!("DSA signatures are not checked any more: use an authority with RSA or EC");
        }
        let Some(file) = &key.file else { bail!("no file of the authority's key") };
        let pem = pem(file)?;
        let key =
            if pem.label == "RSA PUBLIC KEY" { with_kind(&pem.contents) } else { pem.contents };
        match SubjectPublicKeyInfo::from_der(&key) {
            Ok((_, info)) if info.parsed().is_ok() => Ok(Self { key }),
            _ => bail!("{} holds no public key", file.display()),
        }
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

/// An RSA key of PKCS #1, as OpenSSL's older tools write it, with the kind of key before it.
fn with_kind(key: &[u8]) -> Vec<u8> {
    /// The identifier of RSA, and no parameters.
    const RSA: [u8; 15] =
        [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 5, 0];
    let bits = der(0x03, &[&[0][..], key].concat());
    der(0x30, &[&RSA[..], &bits[..]].concat())
}

/// A value of DER.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let length = match *length {
        [] => vec![0],
        [short @ 0..0x80] => vec![short],
        _ => [&[0x80 | u8::try_from(length.len()).unwrap_or_default()][..], length].concat(),
    };
    [&[tag][..], &length[..], content].concat()
}

/// The first block of a PEM file.
fn pem(file: &Path) -> anyhow::Result<Pem> {
    let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let (pem, _) = Pem::read(std::io::Cursor::new(text))
        .map_err(|_| anyhow::anyhow!("{} is no PEM file", file.display()))?;
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::model::access::KeyFile;
    use std::process::Command;

    /// By OpenSSL, as administrators make them.
    #[test]
    fn an_rsa_key_may_be_in_its_older_form() {
        let dir = tempfile::tempdir().unwrap();
        let openssl = |words: &str| {
            let mut openssl = Command::new("openssl");
            openssl.args(words.split(' ')).current_dir(dir.path());
            let ran = openssl.output().unwrap();
            assert!(ran.status.success(), "{words}: {ran:?}");
        };
        openssl("req -x509 -newkey rsa:2048 -nodes -keyout key -out ca -subj /CN=anna -days 2");
        openssl("rsa -in key -RSAPublicKey_out -out old");
        openssl("rsa -in key -pubout -out new");
        let shown = fs::read_to_string(dir.path().join("ca")).unwrap();
        assert!(fs::read_to_string(dir.path().join("old")).unwrap().contains("RSA PUBLIC KEY"));
        let read = |name: &str| {
            let file = Some(dir.path().join(name));
            Authority::new(&ClientCertificate {
                ca_public_key: Some(KeyFile { file, algorithm: KeyAlgorithm::Rsa }),
                ca_cert: None,
                whitelist: Vec::new(),
            })
        };
        let (old, new) = (read("old").unwrap(), read("new").unwrap());
        assert_eq!(old.key, new.key);
        assert_eq!(old.header(&CODED.encode(shown)).unwrap(), ["anna"]);
        let other = read("key").unwrap_err().to_string();
        assert!(other.ends_with("/key holds no public key"), "{other}");
    }
}

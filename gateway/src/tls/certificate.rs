//! One certificate with its key, read from their files and checked against each other.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::CertificateFiles;

/// A certificate that can be shown to clients.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The file that it came from, as an operator knows it.
    pub file: PathBuf,
    /// The DNS names that it is for, in lower case; `*.` stands for one label.
    pub names: Vec<String>,
    /// When it begins and ends, in seconds since 1970.
    pub validity: Validity,
    pub(super) key: Arc<CertifiedKey>,
}

/// When a certificate holds, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// From then on.
    pub not_before: i64,
    /// Until then.
    pub not_after: i64,
}

impl Validity {
    /// Reads whether it holds now.
    pub fn is_now(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        (self.not_before..=self.not_after).contains(&now)
    }
}

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// When one cannot be read, is none, or the two are no pair.
    pub fn load(files: &CertificateFiles) -> Result<Self, CertificateFault> {
        let chain = read_chain(&files.certificate)?;
        let key = read_key(&files.key)?;
        let (names, validity) = read_leaf(&chain[0], &files.certificate)?;
        let provider = rustls::crypto::ring::default_provider();
        let certified = CertifiedKey::from_der(chain, key, &provider).map_err(|error| {
            if let rustls::Error::InconsistentKeys(_) = error {
                return CertificateFault::Mismatch {
                    certificate: files.certificate.clone(),
                    key: files.key.clone(),
                };
            }
            CertificateFault::Key {
                file: files.key.clone(),
                reason: error.to_string(),
            }
        })?;
        Ok(Self {
            file: files.certificate.clone(),
            names,
            validity,
            key: Arc::new(certified),
        })
    }
}

fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateFault> {
    let fault = |reason: String| CertificateFault::Certificate {
        file: file.to_owned(),
        reason,
    };
    let text = std::fs::read(file).map_err(|error| fault(format!("cannot be read: {error}")))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|error| fault(format!("is not PEM: {error}")))?;
    if chain.is_empty() {
        return Err(fault("holds no certificate".into()));
    }
    Ok(chain)
}

fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>, CertificateFault> {
    let fault = |reason: String| CertificateFault::Key {
        file: file.to_owned(),
        reason,
    };
    let text = std::fs::read(file).map_err(|error| fault(format!("cannot be read: {error}")))?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        if let PemError::NoItemsFound = error {
            return fault("holds no private key, or one under a password".into());
        }
        fault(format!("is not PEM: {error}"))
    })
}

fn read_leaf(leaf: &CertificateDer<'_>, file: &Path) -> Result<(Vec<String>, Validity), CertificateFault> {
    let fault = |reason: &str| CertificateFault::Certificate {
        file: file.to_owned(),
        reason: reason.into(),
    };
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| fault("is no X.509 certificate"))?;
    let subjects = parsed.subject_alternative_name().ok().flatten();
    let mut names = Vec::new();
    let mut has_address = false;
    for name in subjects.iter().flat_map(|names| &names.value.general_names) {
        if let GeneralName::DNSName(name) = name {
            names.push(name.to_ascii_lowercase());
        }
        has_address |= matches!(name, GeneralName::IPAddress(_));
    }
    // One for addresses only can still be the default; one for nothing is believed by no client.
    if names.is_empty() && !has_address {
        return Err(fault(
            "names no host: it has no subjectAltName with a DNS name or an address",
        ));
    }
    let validity = Validity {
        not_before: parsed.validity().not_before.timestamp(),
        not_after: parsed.validity().not_after.timestamp(),
    };
    Ok((names, validity))
}

/// Says what is wrong with a certificate or its key, each with the file that it is about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// The certificate's file.
    #[error("{} {reason}", file.display())]
    Certificate {
        /// Which.
        file: PathBuf,
        /// What is wrong with it, as a predicate.
        reason: String,
    },
    /// The key's file.
    #[error("{} {reason}", file.display())]
    Key {
        /// Which.
        file: PathBuf,
        /// What is wrong with it, as a predicate.
        reason: String,
    },
    /// Both can be read, and the key is another certificate's.
    #[error("{} is not the key of {}", key.display(), certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
}

//! One certificate with its key, read from their files and checked against each other; and for how long it holds.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
    /// Whether it is for an address as well.
    has_address: bool,
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

/// How a certificate stands at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does not hold yet.
    NotYet,
    /// It holds.
    Holds,
    /// It holds, and ends within [`ENDS_SOON`]: in so many whole days.
    EndsSoon(u64),
    /// It has ended.
    Ended,
}

impl Validity {
    /// Reads how it stands now.
    pub fn now(&self) -> Standing {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.at(now.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX)))
    }

    fn at(&self, now: i64) -> Standing {
        if now < self.not_before {
            return Standing::NotYet;
        }
        let Ok(left) = u64::try_from(self.not_after.saturating_sub(now)) else {
            return Standing::Ended;
        };
        match Duration::from_secs(left) {
            left if left < ENDS_SOON => Standing::EndsSoon(left.as_secs() / SECONDS_PER_DAY),
            _ => Standing::Holds,
        }
    }
}

impl Certificate {
    /// Reads a certificate that clients are to be shown, and its key.
    ///
    /// # Errors
    /// When one cannot be read, is none, or the two are no pair; or it names no host, so that no client would believe it.
    pub fn load(files: &CertificateFiles) -> Result<Self, CertificateFault> {
        let certificate = Self::load_nameless(files)?;
        if certificate.names.is_empty() && !certificate.has_address {
            return Err(CertificateFault::Certificate {
                file: files.certificate.clone(),
                reason: "names no host: it has no subjectAltName with a DNS name or an address".into(),
            });
        }
        Ok(certificate)
    }

    /// Reads a certificate that servers are to be shown, and its key; it need not name any host.
    ///
    /// # Errors
    /// When one cannot be read, is none, or the two are no pair.
    pub fn load_nameless(files: &CertificateFiles) -> Result<Self, CertificateFault> {
        let chain = read_chain(&files.certificate)?;
        let key = read_key(&files.key)?;
        let leaf = read_leaf(&chain[0], &files.certificate)?;
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
            names: leaf.names,
            has_address: leaf.has_address,
            validity: leaf.validity,
            key: Arc::new(certified),
        })
    }
}

/// What a certificate says of itself.
struct Leaf {
    names: Vec<String>,
    has_address: bool,
    validity: Validity,
}

/// Reads the certificates of a PEM file; at least one.
pub(super) fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateFault> {
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

/// Reads until when a certificate holds.
pub(super) fn validity_of(certificate: &CertificateDer<'_>, file: &Path) -> Result<Validity, CertificateFault> {
    read_leaf(certificate, file).map(|leaf| leaf.validity)
}

fn read_leaf(leaf: &CertificateDer<'_>, file: &Path) -> Result<Leaf, CertificateFault> {
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
    let validity = Validity {
        not_before: parsed.validity().not_before.timestamp(),
        not_after: parsed.validity().not_after.timestamp(),
    };
    Ok(Leaf {
        names,
        has_address,
        validity,
    })
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

/// As long before its end a certificate is worth a word; whatever renews certificates by itself has done so by then.
pub const ENDS_SOON: Duration = Duration::from_secs(14 * SECONDS_PER_DAY);

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_worth_a_word_a_fortnight_before_its_end() {
        const DAY: i64 = SECONDS_PER_DAY as i64;
        let validity = Validity {
            not_before: 0,
            not_after: 100 * DAY,
        };
        let check = |at: i64, expected: Standing| assert_eq!(validity.at(at), expected, "{at}");
        check(-1, Standing::NotYet);
        check(0, Standing::Holds);
        check(86 * DAY, Standing::Holds);
        check(86 * DAY + 1, Standing::EndsSoon(13));
        check(100 * DAY, Standing::EndsSoon(0));
        check(100 * DAY + 1, Standing::Ended);
    }
}

//! Who may use the admin API, as the operator names them.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::tls::CertificateFiles;

/// Where the admin API is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAddress {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A socket in the file system, for its owner only.
    Unix(PathBuf),
}

/// Who may use the admin API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdminConfig {
    /// Once there is one, every call but a probe needs a token or a client certificate.
    pub tokens: Vec<AdminToken>,
    /// Whose certificates count; as soon as there is one, the same holds.
    pub client_certificates: Vec<AdminCertificate>,
    /// By which the API is served with TLS; none where it is not.
    pub tls: Option<AdminTls>,
    /// Whether `/metrics` is shown without a token.
    pub metrics_open: bool,
}

/// One token: only its SHA-256 is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken {
    /// Whose it is; shown in the audit lines.
    pub name: Arc<str>,
    /// What it may be used for.
    pub scope: Scope,
    pub(super) digest: [u8; 32],
}

/// One name that may stand in a client's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminCertificate {
    /// The name; shown in the audit lines.
    pub name: Arc<str>,
    /// What it may be used for.
    pub scope: Scope,
}

/// TLS at the admin listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminTls {
    /// What whoever asks is shown.
    pub files: CertificateFiles,
    /// PEM: the authorities whose client certificates are believed; none where nobody is asked for one.
    pub client_ca: Option<PathBuf>,
}

/// What a token or client certificate may be used for; each scope includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// To look.
    Read,
    /// To move boards: drains, moves, cordons.
    Operate,
    /// To change what there is: servers, the configuration, sessions.
    Admin,
}

impl AdminAddress {
    /// Reads whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// Returns the address, where it is one of TCP.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "{UNIX_PREFIX}{}", path.display()),
        }
    }
}

impl AdminConfig {
    /// Reads whether callers are asked who they are.
    pub fn asks_who(&self) -> bool {
        !self.tokens.is_empty() || !self.client_certificates.is_empty()
    }

    /// Finds the entry of one of the names that stand in a certificate; the first entry counts.
    pub fn certificate(&self, names: &[String]) -> Option<&AdminCertificate> {
        let is_named = |entry: &&AdminCertificate| names.iter().any(|name| **name == *entry.name);
        self.client_certificates.iter().find(is_named)
    }

    /// Finds whose token it is. Every token is compared, each in constant time.
    pub fn token(&self, presented: &[u8]) -> Option<&AdminToken> {
        let digest = digest_of(presented);
        let mut found = None;
        for token in &self.tokens {
            if bool::from(token.digest.ct_eq(&digest)) {
                found = Some(token);
            }
        }
        found
    }
}

impl AdminToken {
    /// Takes a token for its SHA-256.
    pub fn new(name: &str, scope: Scope, token: &str) -> Self {
        Self {
            name: name.into(),
            scope,
            digest: digest_of(token.as_bytes()),
        }
    }
}

impl Scope {
    /// Returns its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AdminToken({:?}, {})", self.name, self.scope.name())
    }
}

pub(super) fn digest_of(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Begins an address that is a path.
pub(super) const UNIX_PREFIX: &str = "unix:";

//! TLS: what clients are shown, and how servers are checked.

use std::path::PathBuf;
use std::sync::Arc;

/// What clients are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificates; the first is shown to clients that name no host.
    pub certificates: Vec<CertificateFiles>,
    /// What a client gets that names a host of no certificate.
    pub unknown_names: UnknownNames,
}

/// Where a certificate and its key are, resolved against the configuration's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM: the certificate, and behind it those that lead to a root.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
}

/// How a server is checked over TLS, and what it is shown; files are resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerTlsConfig {
    /// PEM: the certificates of whom the gateway believes there; absent: those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// The name or address that the certificate must be for; absent: the URL's host.
    pub server_name: Option<Arc<str>>,
    /// What the server is shown where it asks for a certificate.
    pub client: Option<CertificateFiles>,
}

/// What a client gets that names a host of no certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnknownNames {
    /// The first certificate: the client sees for itself.
    #[default]
    First,
    /// No handshake.
    Refuse,
}

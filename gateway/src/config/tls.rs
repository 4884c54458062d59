//! TLS towards clients.

use std::path::PathBuf;

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

/// What a client gets that names a host of no certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnknownNames {
    /// The first certificate: the client sees for itself.
    #[default]
    First,
    /// No handshake.
    Refuse,
}

//! Certificates are exchanged while clients are connected.

use super::certificates::{Certificates, CertificatesError};
use crate::config::TlsConfig;
use crate::telemetry::Metrics;

/// Takes the certificates of a configuration, whose files are read anew, and shows in the metrics until when they hold.
///
/// # Errors
/// When one of them cannot be used: the ones that there were stay.
pub fn exchange_certificates(
    certificates: &Certificates,
    config: &TlsConfig,
    metrics: &Metrics,
) -> Result<(), CertificatesError> {
    certificates.replace(config)?;
    note_ends(certificates, metrics);
    Ok(())
}

/// Shows in the metrics until when the certificates hold.
pub fn note_ends(certificates: &Certificates, metrics: &Metrics) {
    let list = certificates.list();
    metrics.set_certificate_ends(list.iter().map(|certificate| {
        let file = certificate.file.display().to_string();
        (file, certificate.validity.not_after)
    }));
}

//! Until when certificates hold, by file: a series is there while somebody is shown the certificate, and no longer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{IntGaugeVec, Opts, Registry};

use super::family::register;
use crate::tls::Certificate;

/// The family of the ends, and how many show each file.
#[derive(Debug)]
pub(super) struct CertificateEnds {
    pub(super) family: IntGaugeVec,
    showing: Mutex<HashMap<String, usize>>,
}

/// One who shows a certificate; dropped, it shows it no more.
#[derive(Debug)]
pub struct ShownCertificate {
    ends: Arc<CertificateEnds>,
    file: String,
}

impl CertificateEnds {
    pub(super) fn register(into: &Registry) -> Arc<Self> {
        let options = Opts::new(
            "handover_tls_certificate_not_after_seconds",
            "Until when a certificate that clients or servers are shown holds, in seconds since 1970. Renew it in time.",
        );
        Arc::new(Self {
            family: register(into, IntGaugeVec::new(options, &["certificate"])),
            showing: Mutex::default(),
        })
    }

    /// Counts one more who shows the certificate; of two readings of a file the later counts.
    pub(super) fn show(self: &Arc<Self>, certificate: &Certificate) -> ShownCertificate {
        let file = certificate.file.display().to_string();
        // Nothing can panic in between.
        let mut showing = self.showing.lock().unwrap_or_else(PoisonError::into_inner);
        *showing.entry(file.clone()).or_default() += 1;
        let end = certificate.validity.not_after;
        self.family.with_label_values(&[&file]).set(end);
        ShownCertificate {
            ends: Arc::clone(self),
            file,
        }
    }
}

impl Drop for ShownCertificate {
    fn drop(&mut self) {
        let mut showing = self.ends.showing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = showing.get_mut(&self.file) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            showing.remove(&self.file);
            // It fails only where the series has gone already.
            let _ = self.ends.family.remove_label_values(&[&self.file]);
        }
    }
}

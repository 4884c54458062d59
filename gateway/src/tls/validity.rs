//! Until when certificates hold, as the metrics show it.

use super::certificates::Certificates;
use super::operators::OperatorsAcceptor;
use crate::telemetry::{Metrics, ShownCertificate};

/// Shows in the metrics until when the certificates hold that clients and operators are shown, while the answer is kept.
#[must_use = "they are shown until this is dropped"]
pub fn note_ends(
    certificates: Option<&Certificates>,
    operators: Option<&OperatorsAcceptor>,
    metrics: &Metrics,
) -> Vec<ShownCertificate> {
    let mut list = certificates.map(Certificates::list).unwrap_or_default();
    list.extend(operators.map(OperatorsAcceptor::certificate));
    list.iter()
        .map(|certificate| metrics.certificate_end(certificate))
        .collect()
}

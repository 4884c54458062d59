//! Until when certificates hold, as the metrics show it.

use super::certificates::Certificates;
use super::operators::OperatorsAcceptor;
use crate::telemetry::Metrics;

/// Shows in the metrics until when the certificates hold that clients and operators are shown.
pub fn note_ends(certificates: Option<&Certificates>, operators: Option<&OperatorsAcceptor>, metrics: &Metrics) {
    let mut list = certificates.map(Certificates::list).unwrap_or_default();
    list.extend(operators.map(OperatorsAcceptor::certificate));
    for certificate in &list {
        metrics.note_certificate_end(certificate);
    }
}

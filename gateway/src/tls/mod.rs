//! TLS: the stream that a session may run over, and the certificates that clients are shown.
//!
//! Every configuration names its provider (ring), so that nothing depends on which one the process has as its default.

mod acceptor;
mod certificate;
mod certificates;
mod operators;
mod validity;
mod wire;

pub use acceptor::{Acceptor, HandshakeFault};
pub use certificate::{Certificate, CertificateFault, Validity};
pub use certificates::{Certificates, CertificatesError};
pub use operators::{Identity, OperatorsAcceptor, OperatorsFault, OperatorsFiles};
pub use validity::note_ends;
pub use wire::Wire;

#[cfg(test)]
mod tests;

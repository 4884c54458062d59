//! TLS: the stream that a session may run over, the certificates that clients are shown, and whom the gateway believes at
//! servers.
//!
//! Every configuration names its provider (ring), so that nothing depends on which one the process has as its default.

mod acceptor;
mod certificate;
mod certificates;
mod connector;
mod operators;
mod server_fault;
mod trust;
mod validity;
mod wire;

pub use acceptor::{Acceptor, HandshakeFault};
pub use certificate::{Certificate, CertificateFault, ENDS_SOON, Standing, Validity};
pub use certificates::{Certificates, CertificatesError};
pub use connector::Connector;
pub use operators::{Identity, OperatorsAcceptor, OperatorsFault, OperatorsFiles};
pub use server_fault::ServerTlsFault;
pub use trust::{SystemRoots, Trust, TrustFault};
pub use validity::note_ends;
pub use wire::Wire;

#[cfg(test)]
mod tests;

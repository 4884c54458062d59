//! Board servers: the way to them.

mod agreement;
mod connection;
mod dial;
mod extension;
mod handshake;
mod terms;

pub use agreement::{Agreement, AgreementFault, Disagreement};
pub use connection::{ConnectError, Connection, ExchangeError, ServerBody, connect, exchange, tune};
pub use dial::{DialDeadlines, DialError, DialIds, Dialled, UpgradeFault, dial, introduce};
pub use extension::{Deflate, Extension, ExtensionFault, Window};
pub use handshake::{Asking, Handshake, Offer, clean_extension_offer};
pub use terms::{Terms, TermsFault, TermsMode};

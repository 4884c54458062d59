//! Board servers: what is known of them, the way to them, and their control contract.

mod agreement;
mod connection;
#[cfg(test)]
mod contract_server;
mod control;
mod control_error;
mod destination;
mod dial;
mod door;
mod extension;
mod handshake;
mod listing;
mod memory;
mod poll;
mod pool;
mod scarcity;
mod server;
mod servers;
mod terms;

pub use agreement::{Agreement, AgreementFault, Disagreement};
pub use connection::{ConnectError, Connection, ExchangeError, exchange, tune};
pub use control::{BoardListing, ControlClient};
pub use control_error::{ControlError, Nonsense};
pub use destination::Destination;
pub(crate) use dial::tokens_of;
pub use dial::{DialDeadlines, DialError, DialIds, Dialled, UpgradeFault, dial, introduce};
pub use extension::{Deflate, Extension, ExtensionFault, Window};
pub use handshake::{Asking, Handshake, Offer, clean_extension_offer};
pub use listing::HeardListing;
pub use memory::{Dead, ServerMemory};
pub use poll::Poller;
pub use pool::{Pool, PoolError, RequestBody, ServerBody, request_body};
pub use server::{Server, ServerStatus};
pub use servers::Servers;
pub use terms::{Terms, TermsFault, TermsMode};

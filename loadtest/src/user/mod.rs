//! Virtual users: they draw at a rate over real sockets and remember what they did and saw.

mod clock;
mod connection;
mod crowd;
mod endpoint;
mod heard;
mod plan;
mod progress;
mod record;
mod stroke;
mod virtual_user;

pub use clock::{Clock, Micros};
pub use connection::ConnectError;
pub use crowd::{Crowd, GatherError};
pub use endpoint::{Endpoint, EndpointError, Wire};
pub use plan::{Plan, Reader, Resend, Stage, is_intact};
pub use progress::Progress;
pub use record::{Change, Record, SocketEnd, SocketRecord};
pub use stroke::Stroke;

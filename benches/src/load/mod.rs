//! The load: clients on one thread that drive a peer through a work and watch what it costs.

mod crowd;
mod stream;
mod timer;
mod window;
mod work;

pub use window::{Length, Meter, Outcome};
pub use work::{Door, Work, run};

//! The threads that answer the admin API.
//!
//! They are not those of sessions and moves. A drain at full speed keeps hundreds of tasks ready to run; a scraper, a
//! probe or an operator who asks how far it is would wait behind them. The kernel lets these threads run beside the
//! others, so that the answer comes while the gateway is busiest, when it is wanted most.
//!
//! Only looks are answered here; the guard has what changes something carried out at home.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// Starts the threads. Listener and connections of the admin API belong to them.
///
/// # Errors
///
/// The system gives no thread or no descriptor.
pub fn admin_threads() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("handover-admin")
        .enable_all()
        .build()
}

/// Some may be writing long lists while another answers a probe.
const THREADS: usize = 4;

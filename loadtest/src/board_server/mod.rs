//! The reference board server: a small shared whiteboard behind the control contract, or just somebody's server.
//!
//! Boards are held in memory, each by a task of its own ([`board`]); every change is numbered, saved under the board's
//! fence, and acknowledged only then. Clients speak [`wire`](crate::wire), the gateway speaks
//! [`contract`](handover_protocol::contract).

mod board;
mod control;
mod options;
mod problem;
mod server;
mod socket;
mod tls;
mod token;
mod traffic;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use handover_protocol::id::Incarnation;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use options::Options;
pub use server::Settings;
pub use tls::TlsError;
pub use token::TokenError;
pub use traffic::ChangeList;

use crate::store::{Fencing, Store, StoreError, Writer};
use server::Server;
use tls::TlsListener;
use token::ControlToken;

/// A board server that runs.
#[derive(Debug)]
pub struct BoardServer {
    server: Arc<Server>,
    addresses: Addresses,
    listeners: JoinSet<io::Result<()>>,
}

/// Where a server can be reached: what it prints once it serves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Addresses {
    /// For clients.
    pub listening: SocketAddr,
    /// For the gateway; absent without the contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<SocketAddr>,
}

/// Says why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The control API would be open to everybody.
    #[error("--control-listen {0} is not loopback: give a --control-token-file")]
    OpenControl(SocketAddr),
    /// The token file is of no use.
    #[error("--control-token-file {path}: {source}")]
    Token {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: TokenError,
    },
    /// A file of TLS is of no use.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// The database cannot be opened.
    #[error("--database: {0}")]
    Store(#[from] StoreError),
    /// The system has no randomness.
    #[error("no random incarnation: {0}")]
    Random(getrandom::Error),
}

impl BoardServer {
    /// Opens the database and both listeners, and serves.
    ///
    /// # Errors
    /// See [`StartError`]; nothing runs then.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let token = match &options.control_token_file {
            Some(path) => Some(ControlToken::read(path).map_err(|source| StartError::Token {
                path: path.clone(),
                source,
            })?),
            None => None,
        };
        let tls = tls::acceptor(&options)?;
        let traffic = bind(options.listen).await?;
        let control = match options.no_contract {
            true => None,
            false if token.is_none() && !options.control_listen.ip().is_loopback() => {
                return Err(StartError::OpenControl(options.control_listen));
            }
            false => Some(bind(options.control_listen).await?),
        };
        let server = Arc::new(open(&options).await?);
        let addresses = Addresses {
            listening: local(&traffic, options.listen)?,
            control: control
                .as_ref()
                .map(|bound| local(bound, options.control_listen))
                .transpose()?,
        };
        let mut listeners = JoinSet::new();
        let router = traffic::router(server.clone());
        listeners.spawn(serve(traffic, tls.clone(), router, server.stopping.clone()));
        if let Some(control) = control {
            // It goes on to say that the server is not ready, as long as boards are being saved.
            let router = control::router(server.clone(), token);
            listeners.spawn(serve(control, tls, router, CancellationToken::new()));
        }
        if server.is_contract() {
            tokio::spawn(server.clone().watch_fences());
        }
        tokio::spawn(keep_log_short(server.store.clone(), server.stopping.clone()));
        info!(name = %options.name, release = %options.release, incarnation = %server.incarnation, ?addresses, "serving");
        Ok(Self {
            server,
            addresses,
            listeners,
        })
    }

    /// Returns where it can be reached.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Returns how often something happened that must never happen.
    pub fn alarms(&self) -> u64 {
        self.server.alarms()
    }

    /// Ends gracefully: takes nothing more, saves and acknowledges what was taken, says goodbye to every client.
    pub async fn stop(mut self) {
        self.server.stopping.cancel();
        self.server.tasks.close();
        if timeout(STOP_TIMEOUT, self.server.tasks.wait()).await.is_err() {
            warn!(tasks = self.server.tasks.len(), "boards or clients left behind");
        }
        self.listeners.abort_all();
        while self.listeners.join_next().await.is_some() {}
        self.server.store.close().await;
    }
}

async fn open(options: &Options) -> Result<Server, StartError> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(StartError::Random)?;
    let incarnation: Incarnation = format!("{:016x}", u64::from_ne_bytes(random))
        .parse()
        .expect("hexadecimal digits are an id");
    let store = Store::open(&options.database).await?;
    let fencing = match options.no_contract {
        true => Fencing::Unfenced,
        false => Fencing::Fenced,
    };
    let owner = server::owner(&options.name, &incarnation);
    let (writer, writing) = Writer::start(store.clone(), owner.into(), fencing);
    tokio::spawn(writing);
    let settings = Settings {
        name: options.name.clone(),
        release: options.release.clone(),
        contract: !options.no_contract,
        load_time: options.load_time,
        save_time: options.save_time,
        save_delay: options.save_delay,
        shown_pad: (options.shown_pad > 0).then(|| "x".repeat(options.shown_pad)),
        concurrent_loads: usize::from(options.concurrent_loads),
    };
    Ok(Server::new(settings, incarnation, store, writer))
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| StartError::Listen { address, source })
}

fn local(bound: &TcpListener, address: SocketAddr) -> Result<SocketAddr, StartError> {
    bound
        .local_addr()
        .map_err(|source| StartError::Listen { address, source })
}

async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    stopping: CancellationToken,
) -> io::Result<()> {
    if let Some(acceptor) = tls {
        return axum::serve(TlsListener::new(listener, acceptor), router)
            .with_graceful_shutdown(stopping.cancelled_owned())
            .await;
    }
    let listener = listener.tap_io(|socket| {
        // Small messages leave at once; a socket that refuses is closed already.
        let _ = socket.set_nodelay(true);
    });
    axum::serve(listener, router)
        .with_graceful_shutdown(stopping.cancelled_owned())
        .await
}

/// Checkpoints SQLite's log away from the commits.
async fn keep_log_short(store: Store, stopping: CancellationToken) {
    while stopping.run_until_cancelled(sleep(CHECKPOINT_INTERVAL)).await.is_some() {
        if let Err(error) = store.checkpoint().await {
            warn!(%error, "cannot checkpoint the database");
        }
    }
}

/// Longer than saving takes and than a client may take for its goodbye.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);
/// Often, so that little is synced at a time: whoever else syncs on that disk meanwhile waits, a gateway's registry too.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(200);

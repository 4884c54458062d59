//! Starts and torments the processes that the end-to-end tests need.
//!
//! Everything here is real: real processes, real sockets, a real PostgreSQL. A fixture owns what it starts and kills
//! it on drop; a test binary that is killed itself takes its children along. What a process printed goes to a file
//! and is shown when its test fails.
//!
//! ```text
//!   User ──▶ traffic Meddler? ──▶ Gateway ──▶ traffic Meddler? ──▶ BoardServer ──▶ Database
//!                                    └──────▶ control Meddler? ──────▶┘
//! ```

mod admin;
mod authority;
mod binaries;
mod board_server;
mod contract;
mod eventually;
mod gateway;
mod haproxy;
mod library_user;
mod matrix;
mod meddler;
mod port;
mod postgres;
mod process;
mod prometheus;
mod raw_client;
mod scripted_origin;
mod settle_hook;
mod shell;
mod user;

pub use admin::{Admin, AdminError, Metrics};
pub use authority::{Authority, Issued};
pub use binaries::{binary, workspace};
pub use board_server::{BoardServer, BoardServerBuilder, Program};
pub use contract::{Contract, ContractError, Numbers};
pub use eventually::{eventually, eventually_some};
pub use gateway::{Gateway, GatewayBuilder, LogSink, Route};
pub use haproxy::HaProxy;
pub use library_user::{ClientLibrary, LibraryUser, Strokes};
pub use matrix::{Scope, matrix};
pub use meddler::{Call, ControlMeddler, Hook, Seen, TrafficMeddler, Trick, Way};
pub use port::free_port;
pub use postgres::{Database, SavedChange};
pub use process::Process;
pub use prometheus::{Prometheus, Series};
pub use raw_client::RawClient;
pub use scripted_origin::ScriptedOrigin;
pub use settle_hook::SettleHook;
pub use shell::{Ran, Shell, Terminal};
pub use user::{Heard, User, UserError, recital};

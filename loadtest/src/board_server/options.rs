//! The command line of `board-server`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use handover_protocol::id::{ReleaseName, ServerName};

/// The reference board server: a small shared whiteboard that keeps its boards in memory and saves every change.
///
/// It prints one line of JSON once it serves: {"listening":"…","control":"…"}. SIGTERM and Ctrl-C end it gracefully:
/// what was taken is saved and acknowledged, and every client is told goodbye (1001).
#[derive(Debug, Clone, Parser)]
#[command(name = "board-server", version)]
pub struct Options {
    /// The name under which the gateway's configuration knows this server
    #[arg(long, default_value = "board-1")]
    pub name: ServerName,

    /// The version that it claims to run
    #[arg(long, default_value = "r1")]
    pub release: ReleaseName,

    /// Where clients connect: /boards/{board}/ and /boards/{board}/ws; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9001")]
    pub listen: SocketAddr,

    /// Where the gateway calls the control contract; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9101")]
    pub control_listen: SocketAddr,

    /// A file with the token that control calls must carry; without it the control address must be loopback
    #[arg(long, value_name = "FILE")]
    pub control_token_file: Option<PathBuf>,

    /// Where boards are saved; several servers share one database
    #[arg(long, value_name = "sqlite:///path/boards.sqlite | postgres://…")]
    pub database: String,

    /// How long a board takes to load, on top of reading it: 0s, 250ms, 5s
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    pub load_time: Duration,

    /// How long a batch of changes takes to save, on top of writing it
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    pub save_time: Duration,

    /// How long changes are gathered in memory before they are saved and acknowledged
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    pub save_delay: Duration,

    /// Bytes of filler in each change as others are shown it: much to read for little that is drawn
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub shown_pad: usize,

    /// Boards loaded at once; a prepare beyond that is answered `busy`
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrent_loads: u16,

    /// A PEM file with the certificate that both listeners show: they speak TLS then, and nothing else
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,

    /// Its private key
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,

    /// A PEM file with authorities: whoever connects must show a certificate that one of them has signed
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub tls_client_ca: Option<PathBuf>,

    /// Be just somebody's server: no control API, no fence, Handover-* headers mean nothing
    #[arg(long)]
    pub no_contract: bool,
}

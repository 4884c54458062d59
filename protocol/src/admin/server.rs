//! Board servers, as they are named to the gateway and as it sees them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::{DrainId, Incarnation, ReleaseName, ServerName};

/// What a server was changed for Handover, and so what can be promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing; what the server had not saved in time is the server's risk.
    Opaque,
    /// It implements the control contract.
    Contract,
}

/// `GET /v1/servers`: every configured server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServerList {
    /// In the order of the configuration.
    pub servers: Vec<ServerView>,
}

/// One board server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServerView {
    /// Its name.
    pub name: ServerName,
    /// Where sessions and requests go.
    pub url: String,
    /// The version that it runs, as configured.
    pub release: ReleaseName,
    /// Whether it may be given boards.
    pub ready: bool,
    /// The process that runs, where the server tells it.
    pub incarnation: Option<Incarnation>,
    /// What the server was changed for Handover.
    pub level: Level,
    /// Open boards that it owns.
    pub boards: u64,
    /// Sessions that the gateway carries to it.
    pub sessions: u64,
    /// The running drain that empties it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainId>,
    /// Whether it takes boards.
    #[serde(default)]
    pub state: ServerState,
    /// Why it is in that state, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether its process can be ended without anybody noticing: it owns no open board, carries no session and no move
    /// names it.
    #[serde(default)]
    pub safe_to_terminate: bool,
    /// Whether new boards go there: it is ready, of the release that they go to, emptied by no drain, and has a weight and
    /// room.
    #[serde(default)]
    pub new_boards: bool,
    /// Its share of new boards, beside that of the others; 100 unless set, 0: none.
    #[serde(default = "default_weight")]
    pub weight: u32,
    /// Boards that it may own; absent: as many as come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u64>,
    /// What its operator notes with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Where it is named: in the configuration, or through this API.
    #[serde(default)]
    pub origin: ServerOrigin,
    /// How it is checked over TLS; absent where it is reached without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServerTls>,
}

/// How a server is checked over TLS; the files are the gateway's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServerTls {
    /// The certificates of whom to believe; absent: those that its system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// The name or address that the server's certificate must be for; absent: the URL's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// The certificate that the server is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_file: Option<String>,
    /// Its private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key_file: Option<String>,
}

/// Whether a server takes boards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// It takes boards.
    Ready,
    /// It serves what it has and takes no new boards: an operator said so, or it says itself that it is not ready.
    Cordoned,
    /// A drain empties it.
    Draining,
    /// It does not answer, or nobody knows it yet.
    #[default]
    Down,
}

impl ServerState {
    /// Returns the state of a server while a drain empties it: one that answers is draining.
    pub fn while_drained(self) -> Self {
        match self {
            Self::Ready | Self::Cordoned | Self::Draining => Self::Draining,
            Self::Down => Self::Down,
        }
    }
}

/// Where a server is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServerOrigin {
    /// In the configuration file.
    #[default]
    Config,
    /// Through `PUT /v1/servers/{name}`; kept in the registry.
    Api,
}

/// `PUT /v1/servers/{name}`: name a server, or change how it is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerRequest {
    /// Where sessions and requests go: `http://host:port` or `https://host:port`.
    pub url: String,
    /// Where it speaks the control contract; absent: it is opaque.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_url: Option<String>,
    /// A file on the gateway's machine that holds the token of its control contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_token_file: Option<String>,
    /// A PEM file on the gateway's machine with the certificates of whom to believe over TLS; absent: those that its system
    /// trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// The name or address that the server's certificate must be for; absent: the URL's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// A PEM file on the gateway's machine with the certificate that the server is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_file: Option<String>,
    /// Its private key; there exactly where the certificate is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key_file: Option<String>,
    /// The version that it runs.
    pub release: ReleaseName,
    /// Its share of new boards.
    #[serde(default = "default_weight")]
    #[schema(maximum = 10000)]
    pub weight: u32,
    /// Boards that it may own; absent: as many as come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u64>,
    /// What its operator notes with it; at most 16 pairs of 64 and 256 bytes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// `POST /v1/servers/{name}/dead`: what became of the boards of a server whose process is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeathReport {
    /// The server.
    pub server: ServerName,
    /// Boards that it owned and that are being given to others.
    pub boards: u64,
    /// Sessions on them: they are told to reconnect, or go on elsewhere where their route says so (`on_server_death`).
    pub sessions: u64,
    /// Sessions of which nobody can know what the server had saved: all of an opaque server, of a contract server those that go
    /// on and were owed an answer.
    pub unconfirmed_sessions: u64,
}

fn default_weight() -> u32 {
    DEFAULT_WEIGHT
}

/// Equal shares for everybody, with room for finer ones.
pub const DEFAULT_WEIGHT: u32 = 100;

//! Board servers, as they are named to the gateway and as it sees them.

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
}

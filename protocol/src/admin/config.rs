//! The configuration, as it is read anew while the gateway runs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ServerName;

/// `POST /v1/config/reload`: what came of reading the configuration anew.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ConfigReloaded {
    /// The keys that have changed and hold from now on, such as `routes[0].close_code`.
    pub reloaded: Vec<String>,
    /// The keys that have changed and hold only after a restart; until then what was read before holds.
    pub needs_restart: Vec<String>,
    /// What has become of the servers that the file names, or names no more.
    #[serde(default)]
    pub servers: ServersReloaded,
    /// What is doubtful about the configuration.
    #[serde(default)]
    pub warnings: Vec<ConfigFinding>,
}

/// What a reload has done to the servers. Those that the admin API names are not its business.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ServersReloaded {
    /// Servers that the file names anew.
    pub added: Vec<ServerName>,
    /// Servers that the file describes otherwise than before, or that the admin API had named, and that are used as the
    /// file says from now on.
    pub changed: Vec<ServerName>,
    /// Servers that the file names no more, and that nothing needed.
    pub removed: Vec<ServerName>,
    /// Servers that stay as they were, closed to new boards, for something still needs them so: drain them and reload
    /// again.
    pub still_in_use: Vec<ServerInUse>,
}

/// A server that a reload had to leave as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServerInUse {
    /// The server.
    pub server: ServerName,
    /// What the file wants of it.
    pub wanted: ServerWish,
    /// Boards that it owns.
    pub boards: u64,
    /// Sessions that it carries.
    pub sessions: u64,
    /// What to do about it.
    pub fix: String,
}

/// What the file wants of a server that is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServerWish {
    /// It is not in the file any more.
    Removed,
    /// It has another URL, control URL, token or release.
    Replaced,
}

/// What is wrong with a configuration, or doubtful.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigFinding {
    /// The path of the key; empty where the file as a whole is meant.
    pub key: String,
    /// What the server, route or other entry of a list is called that the key stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The environment variable that said it, in the place of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The line of the file, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What is wrong, as a predicate of the key.
    pub problem: String,
    /// What to do about it.
    pub fix: String,
}

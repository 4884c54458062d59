//! The configuration, as it is read anew while the gateway runs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /v1/config/reload`: what came of reading the configuration anew.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ConfigReloaded {
    /// The keys that have changed and hold from now on, such as `routes[0].close_code`.
    pub reloaded: Vec<String>,
    /// The keys that have changed and hold only after a restart; until then what was read before holds.
    pub needs_restart: Vec<String>,
    /// What is doubtful about the configuration.
    #[serde(default)]
    pub warnings: Vec<ConfigFinding>,
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

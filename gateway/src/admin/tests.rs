//! The admin API over real sockets, with the real registry and metrics, before a fleet in memory.

mod access;
mod boards;
mod drains;
mod gateway;
mod requests;

use std::time::Duration;

use handover_protocol::admin::{BoardList, DrainState, DrainStatus, MoveList, MoveReport, ProblemType, ServerList};
use serde_json::{Value, json};

use self::gateway::Gateway;
use super::*;
use crate::drain::memory_fleet::name;
use crate::telemetry::label::Limit;

//! What kind of move it will be: checked before anybody is disturbed.

use std::sync::Arc;
use std::time::Duration;

use handover_protocol::admin::{DrainMode, Level};
use handover_protocol::machine::moving::{Crossing, Plan};
use handover_protocol::{BoardId, ServerName};

use super::hindrance::Hindrance;
use super::{MoveOrder, Mover, Spacing, drift, takeover};
use crate::board::Board;
use crate::config::{Route, RouteMode};
use crate::telemetry::label::{Fallback, Limit};
use crate::upstream::Server;

/// A move that can begin.
#[derive(Clone)]
pub(super) struct Planned {
    pub board: Arc<Board>,
    pub route: Arc<Route>,
    pub source: Arc<Server>,
    pub target: Arc<Server>,
    pub plan: Plan,
}

impl Planned {
    /// Returns for how long the move must not tell anybody to reconnect, where it would.
    pub(super) fn bounce_left(&self) -> Option<Duration> {
        let would_tell = match self.plan.crossing {
            Crossing::Transparent => self.board.sessions().iter().any(|session| !session.may_cross()),
            Crossing::ReconnectByMessage | Crossing::ReconnectByClose => !self.board.sessions().is_empty(),
        };
        self.board.bounce_left(self.route.bounce).filter(|_| would_tell)
    }
}

/// How a board would go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlook {
    /// How its sessions would cross; `stay` where it would be waited for.
    pub mode: DrainMode,
    /// At which level.
    pub level: Level,
    /// What stands in its way now, by its slug, and after how long that is over where that is known.
    pub hindrance: Option<(&'static str, Option<Duration>)>,
}

impl Outlook {
    fn behind(self, hindrance: Hindrance) -> Self {
        Self {
            hindrance: Some((hindrance.slug(), hindrance.retry_after())),
            ..self
        }
    }
}

impl Mover {
    pub(super) async fn plan(&self, order: &MoveOrder) -> Result<Planned, Hindrance> {
        let board = self.boards.find(&order.board).await;
        let board = board.map_err(|_| Hindrance::RegistryUnknown)?;
        let target = self.servers.get(&order.target).ok_or(Hindrance::UnknownTarget)?;
        let owner = board.owner();
        if order.from.is_some() && order.from != owner {
            return Err(Hindrance::NotAtSource);
        }
        let owner = owner.ok_or(Hindrance::NotOpen)?;
        let source = self.servers.get(&owner).ok_or(Hindrance::UnknownSource)?;
        if owner == order.target {
            return Err(Hindrance::AlreadyThere);
        }
        if !target.is_ready() {
            return Err(Hindrance::TargetNotReady);
        }
        let route = self.route_of(&board);
        let mode = narrow(route.mode, order.mode);
        if mode == DrainMode::Stay {
            return Err(Hindrance::Stay);
        }
        let level = source.level();
        let plan = Plan {
            level,
            crossing: crossing(&board, &route, mode, level),
        };
        let planned = Planned {
            board,
            route,
            source,
            target,
            plan,
        };
        // A lost source serves nobody: its users are better told twice than left there.
        if !takeover::is_due(&planned) {
            self.check_spacing(&planned.board, order.spacing)?;
            self.check_users(&planned).await?;
        }
        let sessions = planned.board.sessions().len();
        if mode != DrainMode::Reconnect && sessions > TRANSPARENT_SESSIONS_MAX {
            let fallbacks = self.metrics.fallbacks.of(Fallback::TooManySessions);
            fallbacks.inc_by(sessions as u64);
        }
        Ok(planned)
    }

    /// Says how a board would go if it were moved now, from local memory and without disturbing anybody. `target` is none
    /// where none is ready.
    pub fn outlook(&self, board: &BoardId, target: Option<&ServerName>, mode: DrainMode) -> Outlook {
        let unknown = |hindrance: Hindrance| Outlook {
            mode,
            level: Level::Opaque,
            hindrance: Some((hindrance.slug(), None)),
        };
        let Some(board) = self.boards.get(board) else {
            return unknown(Hindrance::NotOpen);
        };
        let Some(owner) = board.owner() else {
            return unknown(Hindrance::NotOpen);
        };
        let Some(source) = self.servers.get(&owner) else {
            return unknown(Hindrance::UnknownSource);
        };
        let route = self.route_of(&board);
        let level = source.level();
        let mode = narrow(route.mode, mode);
        if mode == DrainMode::Stay {
            return Outlook {
                mode,
                level,
                hindrance: Some((Hindrance::Stay.slug(), None)),
            };
        }
        let crossing = crossing(&board, &route, mode, level);
        let outlook = Outlook {
            mode: match crossing {
                Crossing::Transparent => DrainMode::Transparent,
                Crossing::ReconnectByMessage | Crossing::ReconnectByClose => DrainMode::Reconnect,
            },
            level,
            hindrance: None,
        };
        let Some(target) = target.and_then(|target| self.servers.get(target)) else {
            return outlook.behind(Hindrance::TargetNotReady);
        };
        let planned = Planned {
            board,
            route,
            source,
            target,
            plan: Plan { level, crossing },
        };
        let stays = planned.board.move_left(**self.move_interval.load());
        match (stays, planned.bounce_left()) {
            (Some(left), None) => outlook.behind(Hindrance::MoveInterval { left }),
            (Some(left), Some(bounce)) if left >= bounce => outlook.behind(Hindrance::MoveInterval { left }),
            (_, Some(left)) => outlook.behind(Hindrance::BounceLimit { left }),
            (None, None) => outlook,
        }
    }

    /// Checks that the board has stayed where it is for long enough.
    fn check_spacing(&self, board: &Board, spacing: Spacing) -> Result<(), Hindrance> {
        let left = match spacing {
            Spacing::Kept => board.move_left(**self.move_interval.load()),
            Spacing::Waived => None,
        };
        let Some(left) = left else { return Ok(()) };
        self.metrics.limit_hits.of(Limit::BoardMove).inc();
        Err(Hindrance::MoveInterval { left })
    }

    /// Checks what concerns the users: whether they may be told, and whether the source knows them all.
    async fn check_users(&self, planned: &Planned) -> Result<(), Hindrance> {
        if let Some(left) = planned.bounce_left() {
            self.metrics.limit_hits.of(Limit::Bounce).inc();
            return Err(Hindrance::BounceLimit { left });
        }
        if drift::has_drifted(&planned.board, &planned.source).await {
            self.metrics.counts_drifts.inc();
            return Err(Hindrance::CountsDrift);
        }
        Ok(())
    }
}

/// Says how sessions would cross.
fn crossing(board: &Board, route: &Route, mode: DrainMode, level: Level) -> Crossing {
    let sessions = board.sessions();
    let allows_opaque = level == Level::Contract || route.opaque_transparent;
    let may_any = sessions.is_empty() || sessions.iter().any(|session| session.may_cross());
    let may_cross = mode != DrainMode::Reconnect && allows_opaque && may_any;
    if may_cross && sessions.len() <= TRANSPARENT_SESSIONS_MAX {
        return Crossing::Transparent;
    }
    match route.command {
        Some(_) => Crossing::ReconnectByMessage,
        None => Crossing::ReconnectByClose,
    }
}

/// Narrows what the route allows to what the order asks for.
fn narrow(route: RouteMode, order: DrainMode) -> DrainMode {
    match (route, order) {
        (DrainMode::Stay, _) | (_, DrainMode::Stay) => DrainMode::Stay,
        (DrainMode::Reconnect, _) | (_, DrainMode::Reconnect) => DrainMode::Reconnect,
        (DrainMode::Transparent, _) | (_, DrainMode::Transparent) => DrainMode::Transparent,
        (DrainMode::Auto, DrainMode::Auto) => DrainMode::Auto,
    }
}

/// More sessions than this cannot be dialled within a hold.
const TRANSPARENT_SESSIONS_MAX: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_can_only_narrow_what_the_route_allows() {
        let check = |route, order, expected| assert_eq!(narrow(route, order), expected);
        check(DrainMode::Auto, DrainMode::Transparent, DrainMode::Transparent);
        check(DrainMode::Reconnect, DrainMode::Transparent, DrainMode::Reconnect);
        check(DrainMode::Stay, DrainMode::Transparent, DrainMode::Stay);
        check(DrainMode::Transparent, DrainMode::Stay, DrainMode::Stay);
        check(DrainMode::Transparent, DrainMode::Auto, DrainMode::Transparent);
    }
}

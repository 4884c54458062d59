//! What a drain sees of the fleet: the boards that are open on its sources, and its targets.

use std::sync::Arc;

use handover_protocol::admin::{BoardView, Level};
use handover_protocol::machine::drain::{Event, OpenBoard, TargetLoad};
use handover_protocol::{BoardId, ServerName};
use tokio::time::interval;
use tracing::Instrument;

use super::{Driver, LOOK_INTERVAL, Told};
use crate::drain::desk::Drains;
use crate::drain::job::Job;

impl Driver {
    /// Adds what was moved as the former process of the gateway ended, and not written down any more.
    pub(super) fn remember_interrupted(&self) {
        if self.job.undo_window().is_none() {
            return;
        }
        let under_way = self.job.machine().under_way();
        let at_target = |board: &BoardView| under_way.contains(&board.board);
        let targets = self.job.plan.targets.iter();
        let arrived = targets.flat_map(|target| self.desk.fleet.open(Some(target)).into_iter().filter(at_target));
        let mut moved = self.job.moved();
        for board in arrived {
            if !moved.boards().iter().any(|known| known.board == board.board) {
                moved.add(board.board, None);
            }
        }
    }

    /// Tells the machine at which level its sources are; where they differ, the lesser one.
    pub(super) fn note_level(&self) {
        let servers = self.desk.fleet.servers();
        let mut sources = servers
            .iter()
            .filter(|server| self.job.plan.sources.contains(&server.name));
        let level = match sources.all(|source| source.level == Level::Contract) {
            true => Level::Contract,
            false => Level::Opaque,
        };
        self.job.machine().note_level(level);
    }

    pub(super) fn relist(&self) {
        let (desk, job, told) = (Arc::clone(&self.desk), Arc::clone(&self.job), self.told.clone());
        let task = async move {
            let mut look = interval(LOOK_INTERVAL);
            while is_any_awaited(&desk, &job) {
                look.tick().await;
            }
            desk.fleet.refresh(&job.plan.sources).await;
            let _ = told.send(Told::Refreshed).await;
        };
        self.desk.tasks.spawn(task.in_current_span());
    }

    pub(super) fn is_any_awaited(&self) -> bool {
        is_any_awaited(&self.desk, &self.job)
    }

    pub(super) fn open_boards(&self) -> Vec<OpenBoard> {
        let open = |source: &ServerName| {
            let open_board = |view: BoardView| {
                let home = match &self.only {
                    Some(only) => only.get(&view.board)?.clone(),
                    None => None,
                };
                Some(OpenBoard {
                    board: view.board,
                    source: source.clone(),
                    sessions: view.sessions,
                    home,
                })
            };
            let views = self.desk.fleet.open(Some(source));
            views.into_iter().filter_map(open_board).collect::<Vec<_>>()
        };
        self.job.plan.sources.iter().flat_map(open).collect()
    }

    /// Finds which boards are no longer on a source because another server owns them.
    pub(super) fn taken_over(&self, listed: &[OpenBoard]) -> Vec<BoardId> {
        let missing = self.job.machine().missing_from(listed);
        let is_elsewhere = |board: &BoardId| {
            let owner = self.desk.fleet.owner(board);
            owner.is_some_and(|owner| !self.job.plan.sources.contains(&owner))
        };
        missing.into_iter().filter(is_elsewhere).collect()
    }

    pub(super) fn targets(&mut self) -> Event {
        let targets = self.target_loads();
        self.ready = standing(&targets);
        Event::TargetsChanged { targets }
    }

    pub(super) fn target_loads(&self) -> Vec<TargetLoad> {
        let targets = self.job.plan.targets.iter();
        targets.filter_map(|server| self.desk.fleet.target(server)).collect()
    }
}

/// Returns what the machine has to hear of at once: who is ready, and who of them takes boards.
pub(super) fn standing(targets: &[TargetLoad]) -> Vec<(ServerName, bool)> {
    let standing = targets.iter();
    standing
        .map(|target| (target.server.clone(), target.takes_boards()))
        .collect()
}

/// Reads whether a board is on its way to a source, begun before the drain closed it: the drain is not over before that
/// has come. An undo brings back what it knows, and waits for nothing else.
fn is_any_awaited(desk: &Drains, job: &Job) -> bool {
    let mut sources = job.plan.sources.iter();
    job.undoes.is_none() && sources.any(|source| desk.fleet.is_awaited_at(source))
}

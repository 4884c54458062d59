//! What a drain would do: asked of the same parts that would do it, without disturbing anybody.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use handover_protocol::ServerName;
use handover_protocol::admin::{
    BoardView, DrainMode, DrainPreview, DrainRequest, DrainState, Hindrance, Pace, PlannedBoard, PreviewTotals,
};
use handover_protocol::machine::drain::{TargetLoad, Terms, advice, spread};

use super::desk::Drains;
use super::job::Job;
use super::plan::DrainPlan;
use super::refusal::StartError;

impl Drains {
    /// Says what a drain with this request would do now. Nothing begins.
    ///
    /// # Errors
    /// When the request makes no sense; what would only be refused now is told as a problem of the preview.
    pub async fn preview(&self, request: &DrainRequest) -> Result<DrainPreview, StartError> {
        if let Some(job) = self.started_before(request) {
            return Ok(started_already(&job, self.state_of(&job)));
        }
        let request = &self.defaults.load().complete(request);
        let terms = Terms::from(request);
        let plan = DrainPlan::new(request, &self.fleet.servers())?;
        self.fleet.refresh(&plan.sources).await;
        let refusal = self.refusal(request);
        let mut boards: Vec<(&ServerName, BoardView)> = Vec::new();
        for source in &plan.sources {
            boards.extend(self.fleet.open(Some(source)).into_iter().map(|board| (source, board)));
        }
        // As the drain would take them: idle boards first, the heaviest last.
        boards.sort_by(|(_, a), (_, b)| (a.sessions, &a.board).cmp(&(b.sessions, &b.board)));
        let sessions = boards.iter().map(|(_, board)| board.sessions);
        let loads = self.loads(&plan.targets);
        let is_any_ready = !loads.is_empty();
        let targets = spread(sessions, loads);
        let planned: Vec<PlannedBoard> = boards
            .into_iter()
            .zip(targets)
            .map(|((source, board), target)| self.planned(source, board, target, terms.mode))
            .map(|planned| if is_any_ready { name_crowd(planned) } else { planned })
            .collect();
        let totals = totals(&planned);
        let mut problems = problems(&planned);
        if let Some(refusal) = &refusal {
            problems.insert(
                0,
                Hindrance {
                    reason: refusal.slug().to_owned(),
                    detail: refusal.to_string(),
                    boards: totals.boards,
                },
            );
        }
        Ok(DrainPreview {
            acceptable: refusal.is_none(),
            problems,
            sources: plan.sources,
            targets: plan.targets,
            estimate_seconds: estimate(terms.pace, totals.boards - totals.stay),
            totals,
            truncated: planned.len() > BOARDS_MAX,
            boards: planned.into_iter().take(BOARDS_MAX).collect(),
            started_already: None,
        })
    }

    fn planned(
        &self,
        source: &ServerName,
        board: BoardView,
        target: Option<ServerName>,
        mode: DrainMode,
    ) -> PlannedBoard {
        let outlook = self.fleet.outlook(&board.board, target.as_ref(), mode);
        let hindrance = outlook.hindrance.map(|(reason, left)| Hindrance {
            reason: reason.to_owned(),
            detail: match left {
                Some(left) => format!("{}; {} s left", advice(reason), left.as_secs() + 1),
                None => advice(reason).to_owned(),
            },
            boards: 1,
        });
        PlannedBoard {
            from: source.clone(),
            board: board.board,
            to: target.filter(|_| outlook.mode != DrainMode::Stay),
            sessions: board.sessions,
            mode: outlook.mode,
            level: outlook.level,
            hindrance,
        }
    }

    fn loads(&self, targets: &[ServerName]) -> Vec<TargetLoad> {
        targets.iter().filter_map(|server| self.fleet.target(server)).collect()
    }
}

/// Tells of a request that would start nothing, since the same has started a drain before.
fn started_already(job: &Job, state: DrainState) -> DrainPreview {
    DrainPreview {
        acceptable: true,
        problems: Vec::new(),
        sources: job.plan.sources.clone(),
        targets: job.plan.targets.clone(),
        totals: PreviewTotals::default(),
        estimate_seconds: 0.0,
        boards: Vec::new(),
        truncated: false,
        started_already: Some(state),
    }
}

/// Says of a board for which some target is ready, and none has room, that this is what stands in its way.
fn name_crowd(planned: PlannedBoard) -> PlannedBoard {
    if planned.to.is_some() || planned.mode == DrainMode::Stay {
        return planned;
    }
    let reason = "targets_full";
    PlannedBoard {
        hindrance: Some(Hindrance {
            reason: reason.to_owned(),
            detail: advice(reason).to_owned(),
            boards: 1,
        }),
        ..planned
    }
}

fn totals(boards: &[PlannedBoard]) -> PreviewTotals {
    let of_mode = |mode: DrainMode| boards.iter().filter(|board| board.mode == mode).count() as u64;
    PreviewTotals {
        boards: boards.len() as u64,
        sessions: boards.iter().map(|board| board.sessions).sum(),
        transparent: of_mode(DrainMode::Transparent),
        reconnect: of_mode(DrainMode::Reconnect),
        stay: of_mode(DrainMode::Stay),
    }
}

/// Counts what stands in the way of boards, the most frequent reason first.
fn problems(boards: &[PlannedBoard]) -> Vec<Hindrance> {
    let mut by_reason: BTreeMap<&str, u64> = BTreeMap::new();
    for hindrance in boards.iter().filter_map(|board| board.hindrance.as_ref()) {
        *by_reason.entry(&hindrance.reason).or_default() += 1;
    }
    let hindrance = |(reason, boards): (&str, u64)| Hindrance {
        reason: reason.to_owned(),
        detail: advice(reason).to_owned(),
        boards,
    };
    let mut problems: Vec<Hindrance> = by_reason.into_iter().map(hindrance).collect();
    problems.sort_by_key(|problem| Reverse(problem.boards));
    problems
}

/// Says how long that many moves take at the pace; where that sets no limit, at what a gateway does.
fn estimate(pace: Pace, boards: u64) -> f64 {
    let at_once = f64::from(pace.boards_at_once) / MOVE_SECONDS;
    let per_second = if pace.boards_per_second > 0.0 {
        pace.boards_per_second.min(at_once)
    } else {
        at_once
    };
    ((boards as f64 / per_second) * 10.0).round() / 10.0
}

/// What a board takes that loads at once, with all its round trips.
const MOVE_SECONDS: f64 = 0.1;

/// Enough to read; the totals count all.
const BOARDS_MAX: usize = 1000;

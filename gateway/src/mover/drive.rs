//! The task of one move: takes commands from the machine and brings the answers back; [`super::steps`] carries them out.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

use handover_protocol::admin::MoveReport;
use handover_protocol::contract::Frozen;
use handover_protocol::machine::moving::{Command, Event, Move, MoveResult, Reason};
use handover_protocol::{Generation, Placement, ServerName};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::barrier::Barrier;
use super::calls;
use super::hindrance::Hindrance;
use super::plan::Planned;
use super::report::{self, Times};
use super::{AskedBy, MoveOrder, Mover, event, takeover};
use crate::telemetry::label::{Limit, MoveStep};
use crate::telemetry::{Counted, EVENT};

/// Runs a move to its end.
pub(super) async fn run(mover: &Arc<Mover>, order: MoveOrder) -> MoveReport {
    let _driving = mover.driven.begin(&order.board);
    // Whoever empties the target from now on waits for this board before it calls the target empty.
    let promise = mover.boards.placer().promise(&order.target);
    // Nothing has begun before the plan stands: it may be dropped wherever it waits.
    let plan = match &promise {
        Some(_) => order.cancel.run_until_cancelled(mover.plan(&order)).await,
        None => Some(Err(Hindrance::TargetNotReady)),
    };
    let planned = match plan.unwrap_or(Err(Hindrance::Aborted)) {
        Ok(planned) => planned,
        Err(hindrance) => {
            // A drain offers such a board again for as long as it waits, and tells of it itself.
            let (board, to) = (order.board.as_str(), order.target.as_str());
            let (from, reason) = (order.from.as_ref().map(ServerName::as_str), hindrance.slug());
            let (drain, caller) = (order.asked_by.drain(), order.asked_by.caller());
            if order.from.is_some() && hindrance.is_waited_for() {
                debug!(target: EVENT, event = "move", outcome = "not_begun", board, from, to, reason, drain, caller,
                    "the board cannot be moved yet");
            } else {
                info!(target: EVENT, event = "move", outcome = "not_begun", board, from, to, reason, drain, caller,
                    "the board cannot be moved");
            }
            let board = mover.boards.get(&order.board);
            let placement = board.map_or(Placement::UNKNOWN, |board| board.placement());
            let owner = placement.owner().map(|owner| &owner.server);
            let level = owner
                .and_then(|owner| mover.servers.get(owner))
                .map(|server| server.level());
            return report::hindered(order.board, &placement, level, hindrance);
        }
    };
    if takeover::is_due(&planned) {
        return takeover::run(mover, planned, &order.asked_by).await;
    }
    Drive::new(Arc::clone(mover), planned, order).run().await
}

type Answering = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// A move under way.
pub(super) struct Drive {
    pub(super) mover: Arc<Mover>,
    pub(super) planned: Planned,
    machine: Move,
    cancel: CancellationToken,
    prepared: Option<oneshot::Sender<()>>,
    answering: Option<Answering>,
    step: Option<(MoveStep, Instant)>,
    begun_at: Instant,
    asked_by: AskedBy,
    /// While sessions are held.
    held: Option<Counted>,
    pub(super) keep_warm: bool,
    pub(super) hold_begins: Option<oneshot::Receiver<Instant>>,
    pub(super) hold_deadline: Option<Instant>,
    /// The placement under which the move was claimed: what a read-back is compared with.
    pub(super) claimed: Placement,
    pub(super) has_read_back: bool,
    /// As the last step that was answered left it: one that is given up changes nothing here.
    pub(super) barrier: Barrier,
    pub(super) frozen: Option<Frozen>,
    pub(super) fence: Generation,
    pub(super) times: Times,
    is_finished: bool,
}

/// An event, and what came with it.
pub(super) struct Reply {
    pub(super) event: Event,
    pub(super) news: News,
}

/// What an answer brings besides its event.
pub(super) enum News {
    None,
    Barrier(Barrier),
    Frozen(Frozen),
    Fence(Generation),
}

impl Drive {
    fn new(mover: Arc<Mover>, planned: Planned, order: MoveOrder) -> Self {
        Self {
            machine: Move::new(planned.plan),
            claimed: planned.board.placement(),
            has_read_back: false,
            mover,
            planned,
            begun_at: Instant::now(),
            asked_by: order.asked_by,
            held: None,
            keep_warm: order.keep_warm,
            cancel: order.cancel,
            prepared: order.prepared,
            answering: None,
            step: None,
            hold_begins: None,
            hold_deadline: None,
            barrier: Barrier::default(),
            frozen: None,
            fence: Generation::NONE,
            times: Times::default(),
            is_finished: false,
        }
    }

    async fn run(mut self) -> MoveReport {
        let first = self.machine.begin();
        self.carry_out_all(first);
        let mut is_cancelled = false;
        while !self.is_finished {
            // Cancel-safe: the answer stays where it is while another arm wins, the rest only watches.
            let event = tokio::select! {
                reply = answer(&mut self.answering) => self.take(reply),
                at = begun(&mut self.hold_begins) => {
                    self.begin_hold(at);
                    continue;
                }
                () = at(self.hold_deadline) => {
                    self.hold_deadline = None;
                    self.mover.metrics.limit_hits.of(Limit::HoldTimeout).inc();
                    Event::HoldDeadline
                }
                () = self.cancel.cancelled(), if !is_cancelled => {
                    is_cancelled = true;
                    Event::AbortRequested
                }
            };
            let before = self.machine.phase();
            let commands = self.machine.on(event);
            debug!(?before, ?event, after = ?self.machine.phase(), "move");
            self.carry_out_all(commands);
        }
        self.end()
    }

    /// Starts the hold's clock: sessions are asked to stop from here on.
    fn begin_hold(&mut self, at: Instant) {
        self.hold_begins = None;
        self.held = Some(self.mover.metrics.held_board());
        self.times.hold_at_ms = Some(report::wall_clock_ms());
        self.hold_deadline = Some(at + self.planned.route.hold_timeout);
    }

    fn take(&mut self, reply: Reply) -> Event {
        self.answering = None;
        // The sessions may have stopped before anybody looked.
        match self.hold_begins.as_mut().map(oneshot::Receiver::try_recv) {
            Some(Ok(at)) => self.begin_hold(at),
            // They were never asked to. Who has been told so once must not ask again.
            Some(Err(TryRecvError::Closed)) => self.hold_begins = None,
            Some(Err(TryRecvError::Empty)) | None => {}
        }
        if let Some((step, began)) = self.step.take() {
            let took = began.elapsed().as_secs_f64();
            self.mover.metrics.move_step_seconds.of(step).observe(took);
            // An opaque server loads nothing beforehand.
            if reply.event == Event::Prepared && self.planned.target.has_contract() {
                self.planned.target.metrics().load_seconds.observe(took);
            }
        }
        match reply.news {
            News::None => {}
            News::Barrier(barrier) => self.barrier = barrier,
            News::Frozen(frozen) => self.frozen = Some(frozen),
            News::Fence(fence) => self.fence = fence,
        }
        if reply.event == Event::Claimed {
            self.claimed = self.planned.board.placement();
        }
        if reply.event == Event::ClaimUnknown {
            // What may stand there.
            let coordinator = self.mover.boards.coordinator().clone();
            let claimed = self.claimed.begin(self.planned.target.owner(), coordinator);
            self.claimed = claimed.unwrap_or_else(|_| self.claimed.clone());
        }
        if reply.event == Event::Prepared
            && let Some(prepared) = self.prepared.take()
        {
            // The drain may have gone.
            let _ = prepared.send(());
        }
        reply.event
    }

    fn carry_out_all(&mut self, commands: Vec<Command>) {
        for command in commands {
            self.carry_out(command);
        }
    }

    fn carry_out(&mut self, command: Command) {
        let board = Arc::clone(&self.planned.board);
        match command {
            Command::Claim => self.claim(),
            Command::Prepare => self.prepare(),
            Command::Park => board.park(),
            Command::Tell => self.tell(),
            Command::Hold => self.hold(),
            Command::Freeze => self.freeze(),
            Command::DrainDown => self.drain_down(),
            Command::Quiet => self.quiet(),
            Command::CloseSource => self.close_source(),
            Command::Settle => self.settle(),
            Command::Commit => {
                let mover = Arc::clone(&self.mover);
                self.answer(Some(MoveStep::Commit), async move {
                    calls::commit(&mover.boards, &board).await.into()
                });
            }
            Command::ReadBack => self.read_back(),
            Command::Activate => self.activate(),
            Command::Raise => self.raise(),
            Command::Switch => self.switch(),
            Command::SettlePlacement => {
                let mover = Arc::clone(&self.mover);
                self.answer(None, async move {
                    calls::settle(&mover.boards, &board).await;
                    Event::PlacementSettled.into()
                });
            }
            Command::CutSessions => {
                self.barrier.cut(&board);
                self.note_switched();
            }
            Command::Resume => self.resume(),
            Command::Unpark => {
                self.hold_deadline = None;
                self.held = None;
                board.unpark();
            }
            Command::Shut => board.shut(),
            Command::Release => self.release(),
            Command::ForgetStandby => self.forget_standby(),
            Command::RaiseAttempt => {
                let (mover, claimed) = (Arc::clone(&self.mover), self.claimed.clone());
                self.answer(None, async move {
                    calls::raise_attempt(&mover.boards, &board, &claimed).await.into()
                });
            }
            Command::Thaw => self.thaw(),
            Command::Redial => self.redial(),
            Command::Finish => self.is_finished = true,
        }
    }

    /// Has the move wait for an answer; `step` is what its time is measured as.
    pub(super) fn answer(&mut self, step: Option<MoveStep>, answering: impl Future<Output = Reply> + Send + 'static) {
        self.step = step.map(|step| (step, Instant::now()));
        self.answering = Some(Box::pin(answering));
    }

    fn end(self) -> MoveReport {
        let result = self.machine.result().unwrap_or(MoveResult::Lost(Reason::Superseded));
        let tally = self.barrier.tally();
        let metrics = &self.mover.metrics;
        metrics.moves.of(report::metric(result), self.planned.plan.level).inc();
        metrics.unconfirmed_sessions.inc_by(tally.unconfirmed.len() as u64);
        let report = report::report(&self.planned, result, &tally);
        if report.server.as_ref() == Some(self.planned.target.name()) {
            let interval = **self.mover.move_interval.load();
            self.planned.board.note_moved(interval);
        }
        let took = self.begun_at.elapsed();
        event::tell(&self.planned, &self.asked_by, (result, &report), self.times, took);
        self.mover.remember(report::record(
            &self.planned,
            &self.asked_by,
            result,
            &tally,
            self.times,
        ));
        report
    }
}

impl From<Event> for Reply {
    fn from(event: Event) -> Self {
        Self {
            event,
            news: News::None,
        }
    }
}

async fn answer(answering: &mut Option<Answering>) -> Reply {
    match answering {
        Some(answering) => answering.as_mut().await,
        None => pending().await,
    }
}

/// Waits for the moment in which sessions are asked to stop; for ever where that does not come.
async fn begun(hold: &mut Option<oneshot::Receiver<Instant>>) -> Instant {
    let Some(begins) = hold else { return pending().await };
    match begins.await {
        Ok(at) => at,
        Err(_) => {
            *hold = None;
            pending().await
        }
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

//! The task of one move: takes commands from the machine, carries them out, brings the answers back.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use handover_protocol::admin::{Level, MoveReport};
use handover_protocol::contract::{ForgetQuery, Frozen};
use handover_protocol::machine::moving::{Command, Crossing, Event, Move, MoveResult, Reason};
use handover_protocol::{Generation, Placement};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::barrier::Barrier;
use super::calls::{self, Activation, FreezeTimes, Inheritance};
use super::plan::Planned;
use super::report::{self, Times};
use super::{MoveOrder, Mover, opaque, takeover};
use crate::session::{HoldKind, SessionHandle};
use crate::telemetry::label::{Limit, MoveStep};

/// Runs a move to its end.
pub(super) async fn run(mover: &Arc<Mover>, order: MoveOrder) -> MoveReport {
    let planned = match mover.plan(&order).await {
        Ok(planned) => planned,
        Err(hindrance) => {
            debug!(?hindrance, "the board cannot be moved");
            let owner = mover.boards.get(&order.board).and_then(|board| board.owner());
            return report::hindered(order.board, owner, hindrance);
        }
    };
    if takeover::is_due(&planned) {
        return takeover::run(mover, planned).await;
    }
    Drive::new(Arc::clone(mover), planned, order).run().await
}

type Answering = Pin<Box<dyn Future<Output = Reply> + Send>>;

struct Drive {
    mover: Arc<Mover>,
    planned: Planned,
    machine: Move,
    cancel: CancellationToken,
    prepared: Option<oneshot::Sender<()>>,
    answering: Option<Answering>,
    step: Option<(MoveStep, Instant)>,
    hold_deadline: Option<Instant>,
    /// The placement under which the move was claimed: what a read-back is compared with.
    claimed: Placement,
    has_read_back: bool,
    barrier: Barrier,
    frozen: Option<Frozen>,
    fence: Generation,
    times: Times,
    is_finished: bool,
}

/// An event, and what came with it.
struct Reply {
    event: Event,
    news: News,
}

enum News {
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
            cancel: order.cancel,
            prepared: order.prepared,
            answering: None,
            step: None,
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
                () = at(self.hold_deadline) => {
                    self.hold_deadline = None;
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

    fn take(&mut self, reply: Reply) -> Event {
        self.answering = None;
        if let Some((step, began)) = self.step.take() {
            self.mover
                .metrics
                .move_step_seconds
                .of(step)
                .observe(began.elapsed().as_secs_f64());
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

    fn answer(&mut self, step: Option<MoveStep>, answering: impl Future<Output = Reply> + Send + 'static) {
        self.step = step.map(|step| (step, Instant::now()));
        self.answering = Some(Box::pin(answering));
    }

    fn claim(&mut self) {
        let (mover, board) = (Arc::clone(&self.mover), Arc::clone(&self.planned.board));
        let (source, target) = (self.planned.source.name().clone(), self.planned.target.owner());
        self.answer(None, async move {
            calls::claim(&mover.boards, &board, &source, target).await.into()
        });
    }

    fn prepare(&mut self) {
        let (mover, planned) = (Arc::clone(&self.mover), self.planned.clone());
        self.answer(Some(MoveStep::Prepare), async move {
            // Past the close of an opaque source's connections nobody can be left as they were.
            if planned.plan.level == Level::Opaque
                && !opaque::takes_connections(&planned.target, planned.route.dial_timeout).await
            {
                return Event::PrepareFailed(Reason::TargetDown).into();
            }
            let timeout = planned.route.prepare_timeout;
            let event = calls::prepare(&planned.board, &planned.target, timeout).await;
            // Whoever was told has had the time of a load to come back.
            if event == Event::Prepared && planned.bounce_left().is_some() {
                mover.metrics.limit_hits.of(Limit::Bounce).inc();
                return Event::PrepareFailed(Reason::BounceLimit).into();
            }
            event.into()
        });
    }

    fn tell(&mut self) {
        let (board, route) = (Arc::clone(&self.planned.board), Arc::clone(&self.planned.route));
        let text = route
            .command
            .as_ref()
            .map(|command| command.render(board.id(), &route.close_reason, route.grace));
        self.answer(Some(MoveStep::Tell), async move {
            if let Some(text) = text {
                // Who has not left by then is held, and closed once the target serves.
                let _ = timeout(route.grace, Barrier::tell(&board, &text)).await;
            }
            Event::Told.into()
        });
    }

    fn hold(&mut self) {
        let (mover, board) = (Arc::clone(&self.mover), Arc::clone(&self.planned.board));
        let route = Arc::clone(&self.planned.route);
        let crossing = self.planned.plan.crossing;
        self.times.hold_at_ms = Some(report::wall_clock_ms());
        self.hold_deadline = Some(Instant::now() + route.hold_timeout);
        self.answer(Some(MoveStep::Hold), async move {
            // Requests are let finish while the sessions still flow: nobody waits for them but who comes anew.
            if timeout(route.request_timeout, board.wait_until_still()).await.is_err() {
                return Event::HoldFailed(Reason::RequestsInFlight).into();
            }
            let kind = |session: &SessionHandle| match crossing {
                Crossing::Transparent if session.may_cross() => HoldKind::Reading,
                Crossing::Transparent | Crossing::ReconnectByMessage | Crossing::ReconnectByClose => HoldKind::Leaving,
            };
            let barrier = Barrier::hold(&board, kind, &mover.metrics).await;
            Reply {
                event: Event::Held,
                news: News::Barrier(barrier),
            }
        });
    }

    fn freeze(&mut self) {
        let (board, source) = (Arc::clone(&self.planned.board), Arc::clone(&self.planned.source));
        let target = Arc::clone(&self.planned.target);
        let sessions = self.barrier.counts();
        let times = FreezeTimes {
            // What fails must leave time to thaw within the hold.
            answer: (self.planned.route.freeze_timeout).min(self.hold_left().saturating_sub(THAW_TIMEOUT_MIN)),
            // A commit is sent within the hold or not at all; the source stays frozen while it is carried out.
            frozen: self.planned.route.hold_timeout + COMMIT_TIME,
        };
        self.answer(Some(MoveStep::Freeze), async move {
            // Side by side, so that nobody is held for the second. A freeze that is given up is undone by the thaw.
            let freezing = calls::freeze(&board, &source, sessions, times);
            let finding = calls::find_target(&board, &target, times.answer);
            match tokio::try_join!(freezing, finding) {
                Ok((frozen, ())) => Reply {
                    event: Event::Frozen,
                    news: News::Frozen(frozen),
                },
                Err(reason) => Event::FreezeFailed(reason).into(),
            }
        });
    }

    fn drain_down(&mut self) {
        let mover = Arc::clone(&self.mover);
        let mut barrier = std::mem::take(&mut self.barrier);
        let Some(frozen) = self.frozen.clone() else { return };
        self.answer(Some(MoveStep::DrainDown), async move {
            barrier.drain(&frozen, &mover.metrics).await;
            Reply {
                event: Event::DrainedDown,
                news: News::Barrier(barrier),
            }
        });
    }

    fn quiet(&mut self) {
        let route = Arc::clone(&self.planned.route);
        let mut barrier = std::mem::take(&mut self.barrier);
        self.answer(Some(MoveStep::Quiet), async move {
            opaque::wait_for_quiet(&mut barrier, &route).await;
            Reply {
                event: Event::Quiet,
                news: News::Barrier(barrier),
            }
        });
    }

    fn close_source(&mut self) {
        let mut barrier = std::mem::take(&mut self.barrier);
        self.answer(Some(MoveStep::Close), async move {
            barrier.close_source().await;
            Reply {
                event: Event::SourceClosed,
                news: News::Barrier(barrier),
            }
        });
    }

    fn settle(&mut self) {
        let (route, board) = (Arc::clone(&self.planned.route), Arc::clone(&self.planned.board));
        self.answer(Some(MoveStep::Settle), async move {
            match opaque::settle(&route, board.id()).await {
                true => Event::SourceSettled.into(),
                false => Event::SettleFailed(Reason::SaveUnconfirmed).into(),
            }
        });
    }

    fn read_back(&mut self) {
        let (mover, board) = (Arc::clone(&self.mover), Arc::clone(&self.planned.board));
        let claimed = self.claimed.clone();
        let is_again = std::mem::replace(&mut self.has_read_back, true);
        self.answer(None, async move {
            if is_again {
                sleep(READ_BACK_INTERVAL).await;
            }
            calls::read_back(&mover.boards, &board, &claimed).await.into()
        });
    }

    fn activate(&mut self) {
        let (board, target) = (Arc::clone(&self.planned.board), Arc::clone(&self.planned.target));
        let inheritance = Inheritance {
            frozen: self.frozen.clone(),
            sessions: self.expected_sessions(),
        };
        let timeout = self.hold_left().max(ACTIVATE_TIMEOUT_MIN) / 2;
        self.answer(Some(MoveStep::Activate), async move {
            let activation = calls::activate(&board, &target, inheritance, timeout).await;
            Reply {
                event: activation.event(),
                news: match activation {
                    Activation::Fenced(fence) => News::Fence(fence),
                    Activation::Taken | Activation::Failed(_) => News::None,
                },
            }
        });
    }

    fn raise(&mut self) {
        let (mover, board) = (Arc::clone(&self.mover), Arc::clone(&self.planned.board));
        let (target, fence) = (self.planned.target.owner(), self.fence);
        self.answer(None, async move {
            calls::raise(&mover.boards, &board, target, fence).await.into()
        });
    }

    fn switch(&mut self) {
        let (mover, board) = (Arc::clone(&self.mover), Arc::clone(&self.planned.board));
        let (target, from) = (Arc::clone(&self.planned.target), self.planned.source.name().clone());
        let mut barrier = std::mem::take(&mut self.barrier);
        self.answer(Some(MoveStep::Switch), async move {
            let generation = board.placement().generation;
            barrier.switch(&target, generation, &from, &mover.metrics).await;
            Reply {
                event: Event::Switched,
                news: News::Barrier(barrier),
            }
        });
    }

    /// Lets every session go on; who has gone on or is leaving is told nothing new by that.
    fn resume(&mut self) {
        Barrier::resume_all(&self.planned.board);
        self.note_switched();
    }

    fn note_switched(&mut self) {
        self.times.switched_at_ms.get_or_insert_with(report::wall_clock_ms);
    }

    fn release(&mut self) {
        let (board, source) = (Arc::clone(&self.planned.board), Arc::clone(&self.planned.source));
        let copy = ForgetQuery {
            generation: self.claimed.generation,
            attempt: self.claimed.attempt,
        };
        self.answer(Some(MoveStep::Release), async move {
            calls::forget(&board, source, copy, FORGET_TIMEOUT).await;
            Event::Released.into()
        });
    }

    fn forget_standby(&mut self) {
        let (board, target) = (Arc::clone(&self.planned.board), Arc::clone(&self.planned.target));
        let copy = ForgetQuery {
            generation: self.claimed.generation,
            attempt: self.claimed.attempt,
        };
        self.mover
            .tasks
            .spawn(async move { calls::forget(&board, target, copy, FORGET_TIMEOUT).await });
    }

    fn thaw(&mut self) {
        let (board, source) = (Arc::clone(&self.planned.board), Arc::clone(&self.planned.source));
        let gone = self.barrier.gone();
        let timeout = self.hold_left().max(THAW_TIMEOUT_MIN);
        self.answer(
            None,
            async move { calls::thaw(&board, &source, gone, timeout).await.into() },
        );
    }

    fn redial(&mut self) {
        let mover = Arc::clone(&self.mover);
        let (source, board) = (Arc::clone(&self.planned.source), Arc::clone(&self.planned.board));
        let mut barrier = std::mem::take(&mut self.barrier);
        self.answer(Some(MoveStep::Switch), async move {
            let generation = board.placement().generation;
            barrier.switch(&source, generation, source.name(), &mover.metrics).await;
            Reply {
                event: Event::Redialled,
                news: News::Barrier(barrier),
            }
        });
    }

    fn expected_sessions(&self) -> Vec<handover_protocol::SessionId> {
        match self.planned.plan.crossing {
            Crossing::Transparent => self.barrier.ids(),
            Crossing::ReconnectByMessage | Crossing::ReconnectByClose => Vec::new(),
        }
    }

    fn hold_left(&self) -> Duration {
        self.hold_deadline.map_or(Duration::ZERO, |deadline| {
            deadline.saturating_duration_since(Instant::now())
        })
    }

    fn end(self) -> MoveReport {
        let result = self.machine.result().unwrap_or(MoveResult::Lost(Reason::Superseded));
        let tally = self.barrier.tally();
        let metrics = &self.mover.metrics;
        metrics.moves.of(report::metric(result), self.planned.plan.level).inc();
        metrics.unconfirmed_sessions.inc_by(tally.unconfirmed.len() as u64);
        let report = report::report(&self.planned, result, &tally);
        let (from, generation) = (self.planned.source.name(), report.generation);
        match result {
            MoveResult::Moved => {
                info!(%from, %generation, switched = report.switched, reconnected = report.reconnected, "board moved");
            }
            MoveResult::Undone(reason) | MoveResult::Forced(reason) | MoveResult::Lost(reason) => {
                warn!(%from, %generation, %reason, ?result, "board not moved");
            }
        }
        self.mover
            .remember(report::record(&self.planned, result, &tally, self.times));
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

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

/// A registry whose answer settled nothing is asked again after so long.
const READ_BACK_INTERVAL: Duration = Duration::from_millis(50);

/// A commit at the very end of a hold, and the activation behind it: a sync of the registry and a round trip. Servers
/// wait half of a freeze's deadline for what they count, so that much must stay below `freeze_timeout`.
const COMMIT_TIME: Duration = Duration::from_millis(500);

/// An activation beyond the hold, when nobody waits any more, still gets half of this.
const ACTIVATE_TIMEOUT_MIN: Duration = Duration::from_secs(2);

/// A thaw late in the hold still gets so long.
const THAW_TIMEOUT_MIN: Duration = Duration::from_millis(500);

/// Nobody waits for a copy to be dropped.
const FORGET_TIMEOUT: Duration = Duration::from_secs(3);

//! How each command of a move is carried out: what is asked, of whom, and for how long.

use std::sync::Arc;
use std::time::Duration;

use handover_protocol::admin::Level;
use handover_protocol::contract::ForgetQuery;
use handover_protocol::machine::moving::{Crossing, Event, Reason};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::barrier::Barrier;
use super::calls::{self, Activation, FreezeTimes, Inheritance};
use super::drive::{Drive, News, Reply};
use super::{opaque, report};
use crate::session::{HoldKind, SessionHandle};
use crate::telemetry::label::{Limit, MoveStep};

impl Drive {
    pub(super) fn claim(&mut self) {
        let (mover, board) = (Arc::clone(&self.mover), Arc::clone(&self.planned.board));
        let (source, target) = (self.planned.source.name().clone(), self.planned.target.owner());
        self.answer(None, async move {
            calls::claim(&mover.boards, &board, &source, target).await.into()
        });
    }

    pub(super) fn prepare(&mut self) {
        let (mover, planned) = (Arc::clone(&self.mover), self.planned.clone());
        self.answer(Some(MoveStep::Prepare), async move {
            // Past the close of an opaque source's connections nobody can be left as they were.
            if planned.plan.level == Level::Opaque
                && !opaque::takes_connections(&planned.target, planned.route.dial_timeout, &mover.metrics).await
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

    pub(super) fn tell(&mut self) {
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

    pub(super) fn hold(&mut self) {
        let (mover, board) = (Arc::clone(&self.mover), Arc::clone(&self.planned.board));
        let route = Arc::clone(&self.planned.route);
        let crossing = self.planned.plan.crossing;
        let (begins, hold_begins) = oneshot::channel();
        self.hold_begins = Some(hold_begins);
        self.answer(Some(MoveStep::Hold), async move {
            // Requests are let finish while the sessions still flow: nobody waits for them but who comes anew.
            if timeout(route.request_timeout, board.wait_until_still()).await.is_err() {
                mover.metrics.limit_hits.of(Limit::RequestTimeout).inc();
                return Event::HoldFailed(Reason::RequestsInFlight).into();
            }
            // The move has not ended, for it is what drives this.
            let _ = begins.send(Instant::now());
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

    pub(super) fn freeze(&mut self) {
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

    pub(super) fn drain_down(&mut self) {
        let mover = Arc::clone(&self.mover);
        let mut barrier = self.barrier.clone();
        let Some(frozen) = self.frozen.clone() else { return };
        self.answer(Some(MoveStep::DrainDown), async move {
            barrier.drain(&frozen, &mover.metrics).await;
            Reply {
                event: Event::DrainedDown,
                news: News::Barrier(barrier),
            }
        });
    }

    pub(super) fn quiet(&mut self) {
        let (mover, route) = (Arc::clone(&self.mover), Arc::clone(&self.planned.route));
        let mut barrier = self.barrier.clone();
        self.answer(Some(MoveStep::Quiet), async move {
            opaque::wait_for_quiet(&mut barrier, &route, &mover.metrics).await;
            Reply {
                event: Event::Quiet,
                news: News::Barrier(barrier),
            }
        });
    }

    pub(super) fn close_source(&mut self) {
        let mut barrier = self.barrier.clone();
        self.answer(Some(MoveStep::Close), async move {
            barrier.close_source().await;
            Reply {
                event: Event::SourceClosed,
                news: News::Barrier(barrier),
            }
        });
    }

    pub(super) fn settle(&mut self) {
        let (mover, board) = (Arc::clone(&self.mover), Arc::clone(&self.planned.board));
        let route = Arc::clone(&self.planned.route);
        self.answer(Some(MoveStep::Settle), async move {
            match opaque::settle(&route, board.id(), &mover.metrics).await {
                true => Event::SourceSettled.into(),
                false => {
                    mover.metrics.limit_hits.of(Limit::Settle).inc();
                    Event::SettleFailed(Reason::SaveUnconfirmed).into()
                }
            }
        });
    }

    pub(super) fn read_back(&mut self) {
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

    pub(super) fn activate(&mut self) {
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

    pub(super) fn raise(&mut self) {
        let (mover, board) = (Arc::clone(&self.mover), Arc::clone(&self.planned.board));
        let (target, fence) = (self.planned.target.owner(), self.fence);
        self.answer(None, async move {
            calls::raise(&mover.boards, &board, target, fence).await.into()
        });
    }

    pub(super) fn switch(&mut self) {
        let (mover, board) = (Arc::clone(&self.mover), Arc::clone(&self.planned.board));
        let (target, from) = (Arc::clone(&self.planned.target), self.planned.source.name().clone());
        let mut barrier = self.barrier.clone();
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
    pub(super) fn resume(&mut self) {
        Barrier::resume_all(&self.planned.board);
        self.note_switched();
    }

    pub(super) fn note_switched(&mut self) {
        self.times.switched_at_ms.get_or_insert_with(report::wall_clock_ms);
    }

    pub(super) fn release(&mut self) {
        let (board, source) = (Arc::clone(&self.planned.board), Arc::clone(&self.planned.source));
        if self.keep_warm {
            let timeout = self.planned.route.prepare_timeout;
            // Nobody waits for it: where it fails the board comes back to a cold server.
            self.mover
                .tasks
                .spawn(async move { calls::keep_warm(&board, &source, timeout).await });
            return self.answer(Some(MoveStep::Release), async { Event::Released.into() });
        }
        let copy = ForgetQuery {
            generation: self.claimed.generation,
            attempt: self.claimed.attempt,
        };
        self.answer(Some(MoveStep::Release), async move {
            calls::forget(&board, source, copy, FORGET_TIMEOUT).await;
            Event::Released.into()
        });
    }

    pub(super) fn forget_standby(&mut self) {
        let (board, target) = (Arc::clone(&self.planned.board), Arc::clone(&self.planned.target));
        let copy = ForgetQuery {
            generation: self.claimed.generation,
            attempt: self.claimed.attempt,
        };
        self.mover
            .tasks
            .spawn(async move { calls::forget(&board, target, copy, FORGET_TIMEOUT).await });
    }

    pub(super) fn thaw(&mut self) {
        let (board, source) = (Arc::clone(&self.planned.board), Arc::clone(&self.planned.source));
        let gone = self.barrier.gone(&board);
        let timeout = self.hold_left().max(THAW_TIMEOUT_MIN);
        self.answer(
            None,
            async move { calls::thaw(&board, &source, gone, timeout).await.into() },
        );
    }

    pub(super) fn redial(&mut self) {
        let mover = Arc::clone(&self.mover);
        let (source, board) = (Arc::clone(&self.planned.source), Arc::clone(&self.planned.board));
        let mut barrier = self.barrier.clone();
        self.answer(Some(MoveStep::Switch), async move {
            let generation = board.placement().generation;
            barrier.switch(&source, generation, source.name(), &mover.metrics).await;
            Reply {
                event: Event::Redialled,
                news: News::Barrier(barrier),
            }
        });
    }

    pub(super) fn expected_sessions(&self) -> Vec<handover_protocol::SessionId> {
        match self.planned.plan.crossing {
            Crossing::Transparent => self.barrier.ids(),
            Crossing::ReconnectByMessage | Crossing::ReconnectByClose => Vec::new(),
        }
    }

    pub(super) fn hold_left(&self) -> Duration {
        self.hold_deadline.map_or(Duration::ZERO, |deadline| {
            deadline.saturating_duration_since(Instant::now())
        })
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

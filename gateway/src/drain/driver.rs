//! One drain's task: brings the machine its events and carries out what it says, in that order, and nothing else.

mod survey;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use handover_protocol::admin::{DrainCounts, DrainEvent, DrainState, DrainStatus, MoveReport, PausedBy};
use handover_protocol::machine::drain::{Command, Event, Terms};
use handover_protocol::{BoardId, ServerName};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, warn};

use self::survey::standing;
use super::desk::Drains;
use super::job::{Ask, Job, Verb};
use crate::mover::{AskedBy, MoveOrder, Spacing};
use crate::registry::RegistryError;
use crate::telemetry::label::Limit;
use crate::telemetry::{EVENT, Label};

/// Runs one drain until it ends or the gateway does.
pub(super) struct Driver {
    desk: Arc<Drains>,
    job: Arc<Job>,
    /// Roomy enough for everything that can be under way at once, so nobody ever waits to tell.
    told: mpsc::Sender<Told>,
    inbox: mpsc::Receiver<Told>,
    cancels: HashMap<BoardId, CancellationToken>,
    /// The targets that were ready when they were last looked at, and whether they took boards.
    ready: Vec<(ServerName, bool)>,
    /// An undo moves these, each to where it was.
    only: Option<HashMap<BoardId, Option<ServerName>>>,
    told_state: Option<(DrainState, Option<PausedBy>)>,
    /// Whether it counts as bitten by the targets' capacity already.
    waits_for_room: bool,
    told_counts: DrainCounts,
    told_reasons: Vec<String>,
    progress_due: tokio::time::Instant,
}

/// What the driver's own tasks tell it.
enum Told {
    Prepared(BoardId),
    Ended(MoveReport),
    Refreshed,
}

/// Whether the drain goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    GoesOn,
    Over,
}

impl Driver {
    pub(super) fn new(desk: Arc<Drains>, job: Arc<Job>) -> Self {
        let at_once = Terms::from(&job.request).pace.boards_at_once as usize;
        let (told, inbox) = mpsc::channel(2 * at_once + SPARE);
        Self {
            desk,
            job,
            told,
            inbox,
            cancels: HashMap::new(),
            ready: Vec::new(),
            only: None,
            told_state: None,
            waits_for_room: false,
            told_counts: DrainCounts::default(),
            told_reasons: Vec::new(),
            progress_due: tokio::time::Instant::now(),
        }
    }

    /// Runs until the drain has ended, or the gateway is going down: then the drain stays running, to be resumed.
    pub(super) async fn run(self) {
        let shutdown = self.desk.shutdown.clone();
        // What is under way ends in tasks of its own, and the record says what it was.
        shutdown.run_until_cancelled(self.drive()).await;
    }

    async fn drive(mut self) {
        let Some(mut asked) = self.job.take_asked() else { return };
        self.only = self.desk.undone_boards(&self.job);
        let mut look = interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.desk.fleet.refresh(&self.job.plan.sources).await;
        // Without a board the drain would be over at once; whoever wants something of it is not kept waiting.
        while self.open_boards().is_empty() && self.is_any_awaited() && asked.is_empty() {
            look.tick().await;
        }
        let mut course = self.start(&mut asked).await;
        while course == Course::GoesOn {
            let wake_at = self.job.wake_at();
            let wake = async {
                match wake_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let mut batch = Vec::new();
            // Every arm only waits: `recv_many` takes nothing where another arm wins, and the rest keep no state.
            tokio::select! {
                Some(ask) = asked.recv() => course = self.answer(ask).await,
                _ = self.inbox.recv_many(&mut batch, BATCH) => {
                    let events = batch.into_iter().flat_map(|told| self.event_of(told)).collect();
                    course = self.step(events).await;
                }
                () = wake => course = self.step(vec![Event::Tick]).await,
                _ = look.tick() => course = self.look().await,
            }
        }
        // A drain whose end is not kept would begin again after a restart.
        while self.job.is_unkept() {
            look.tick().await;
            self.persist().await;
        }
    }

    async fn start(&mut self, asked: &mut mpsc::Receiver<Ask>) -> Course {
        self.remember_interrupted();
        self.note_level();
        let mut events = vec![self.targets()];
        let mut answers = Vec::new();
        // What was asked while the sources were listed comes before the first move.
        while let Ok(ask) = asked.try_recv() {
            events.push(ask.verb.event());
            answers.push(ask.taken);
        }
        events.push(Event::Started {
            boards: self.open_boards(),
        });
        let course = self.step(events).await;
        for taken in answers {
            let _ = taken.send(());
        }
        course
    }

    async fn answer(&mut self, ask: Ask) -> Course {
        let mut events = vec![ask.verb.event()];
        // Whoever mends a target resumes in the same breath, before the next look.
        if ask.verb == Verb::Resume {
            events.insert(0, self.targets());
        }
        let course = self.step(events).await;
        // Whoever asked may have gone.
        let _ = ask.taken.send(());
        course
    }

    /// Looks whether targets came or went, and tries again to keep what could not be kept.
    async fn look(&mut self) -> Course {
        if self.job.is_unkept() {
            self.persist().await;
        }
        self.tell_progress();
        if standing(&self.target_loads()) == self.ready {
            return Course::GoesOn;
        }
        let targets = self.targets();
        self.step(vec![targets]).await
    }

    /// Lets the machine take events in, then carries its commands out: what has to be kept first, once.
    async fn step(&mut self, events: Vec<Event>) -> Course {
        let now = self.job.now();
        let (commands, waits_for_room) = {
            let mut machine = self.job.machine();
            let commands: Vec<Command> = events
                .into_iter()
                .flat_map(|event| machine.handle(event, now))
                .collect();
            (commands, machine.waits_for_room())
        };
        if waits_for_room && !self.waits_for_room {
            self.desk.metrics.limit_hits.of(Limit::Capacity).inc();
        }
        self.waits_for_room = waits_for_room;
        if commands.contains(&Command::Persist) {
            self.persist().await;
        }
        self.tell_state();
        let mut course = Course::GoesOn;
        for command in commands {
            match command {
                Command::Persist => {}
                Command::StartMove {
                    board,
                    source,
                    target,
                    mode,
                } => {
                    // The end of the gateway undoes what has not committed; it is taken up again afterwards.
                    let cancel = self.desk.shutdown.child_token();
                    self.cancels.insert(board.clone(), cancel.clone());
                    let (prepared, loaded) = oneshot::channel();
                    let prepared = Some(prepared);
                    self.follow(
                        MoveOrder {
                            board,
                            from: Some(source),
                            target,
                            mode,
                            spacing: match self.only {
                                Some(_) => Spacing::Waived,
                                None => Spacing::Kept,
                            },
                            keep_warm: self.job.undo_window().is_some(),
                            asked_by: AskedBy::Drain(self.job.id.clone()),
                            cancel,
                            prepared,
                        },
                        loaded,
                    );
                }
                Command::AbortMove { board } => {
                    if let Some(cancel) = self.cancels.get(&board) {
                        cancel.cancel();
                    }
                }
                Command::Relist => self.relist(),
                Command::Finish { state } => {
                    let failures = self.job.status().failures;
                    let failures: Vec<String> = failures
                        .iter()
                        .map(|row| format!("{}={}", row.reason, row.count))
                        .collect();
                    info!(target: EVENT, event = "drain", drain = self.job.id.as_str(), state = state.text(),
                        failures = failures.join(","), "drain has ended");
                    self.desk.announce();
                    self.desk.cool_later(&self.job);
                    course = Course::Over;
                }
                Command::Note(anomaly) => warn!(%anomaly, "a drain was told what it cannot know"),
            }
        }
        course
    }

    /// Begins a move and tells the machine how it goes.
    fn follow(&self, order: MoveOrder, loaded: oneshot::Receiver<()>) {
        let board = order.board.clone();
        debug!(%board, target = %order.target, "move begins");
        let told = self.told.clone();
        let (job, from, to) = (Arc::clone(&self.job), order.from.clone(), order.target.clone());
        let mut moving = self.desk.fleet.move_board(order);
        let task = async move {
            let report = tokio::select! {
                biased;
                report = &mut moving => report,
                is_loaded = loaded => {
                    // The driver may have ended with the gateway; then nobody needs to be told.
                    if is_loaded.is_ok() {
                        let _ = told.send(Told::Prepared(board.clone())).await;
                    }
                    moving.await
                }
            };
            let report = MoveReport { board, ..report };
            if report.server.as_ref() == Some(&to) && job.undo_window().is_some() {
                job.moved().add(report.board.clone(), from.clone());
            }
            if let Some(from) = from {
                job.events.push(DrainEvent::Move {
                    from,
                    to,
                    report: report.clone(),
                });
            }
            let _ = told.send(Told::Ended(report)).await;
        };
        self.desk.tasks.spawn(task.in_current_span());
    }

    /// Tells whoever reads along that the state has changed.
    fn tell_state(&mut self) {
        let state = self.job.state();
        let paused_by = self.job.machine().paused_by();
        if self.told_state != Some((state, paused_by)) {
            self.told_state = Some((state, paused_by));
            let status = Box::new(self.desk.status_of(&self.job));
            self.told_counts = status.boards;
            self.told_reasons = reasons(&status);
            self.desk.announce();
            if let Some(by @ (PausedBy::Deadline | PausedBy::TargetDown)) = paused_by {
                warn!(
                    target: EVENT,
                    event = "drain",
                    drain = self.job.id.as_str(),
                    state = state.text(),
                    paused_by = by.text(),
                    left = status.boards.left,
                    "the drain has paused itself and waits for a decision: {}",
                    status.waits_for.first().map_or("", |wait| wait.detail.as_str())
                );
            }
            info!(
                target: EVENT,
                event = "drain",
                drain = self.job.id.as_str(),
                state = state.text(),
                moved = status.boards.moved,
                left = status.boards.left,
                closed = status.boards.closed,
                failed = status.boards.failed,
                waits_for = status.waits_for.first().map(|wait| wait.reason.as_str()),
                "drain: {}",
                status.progress
            );
            self.job.events.push(DrainEvent::State { status });
            self.desk.tell_undone(&self.job);
        }
    }

    /// Tells whoever reads along how far it is and what it waits for, where that has changed, at most once a second.
    fn tell_progress(&mut self) {
        let now = tokio::time::Instant::now();
        if now < self.progress_due {
            return;
        }
        self.progress_due = now + PROGRESS_INTERVAL;
        let status = Box::new(self.desk.status_of(&self.job));
        let reasons = reasons(&status);
        if status.boards == self.told_counts && reasons == self.told_reasons {
            return;
        }
        self.told_counts = status.boards;
        self.told_reasons = reasons;
        self.job.events.push(DrainEvent::Progress { status });
        self.desk.tell_undone(&self.job);
    }

    async fn persist(&mut self) {
        match self.keep().await {
            Ok(()) => drop(self.job.set_unkept(false)),
            // Moves need the registry as well and fail by themselves; only counts can go wrong.
            Err(error) => {
                if !self.job.set_unkept(true) {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "the drain's progress is not kept; trying again"
                    );
                }
            }
        }
    }

    async fn keep(&self) -> Result<(), RegistryError> {
        let (parts, count) = self.job.moved().unkept();
        for (number, part) in parts {
            self.desk.registry.put_drain_part(&self.job.id, number, part).await?;
        }
        self.job.moved().set_kept(count);
        let record = self.job.record().encode();
        self.desk.registry.put_drain(&self.job.id, record).await
    }

    /// Turns what was told into events; lists are read here, so that they are never older than what came before.
    fn event_of(&mut self, told: Told) -> Vec<Event> {
        match told {
            Told::Prepared(board) => vec![Event::MovePrepared { board }],
            Told::Ended(report) => {
                self.cancels.remove(&report.board);
                vec![Event::MoveEnded { report }]
            }
            Told::Refreshed => {
                let boards = self.open_boards();
                let taken_over = Event::BoardsTakenOver {
                    boards: self.taken_over(&boards),
                };
                vec![self.targets(), taken_over, Event::BoardsListed { boards }]
            }
        }
    }
}

/// Names what a drain waits for.
fn reasons(status: &DrainStatus) -> Vec<String> {
    status.waits_for.iter().map(|wait| wait.reason.clone()).collect()
}

/// How often the targets' readiness is looked at; it is local memory.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How often readers are told how far a drain is, while nothing else happens.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// How much is told to the machine before what it says is carried out.
const BATCH: usize = 256;

/// A list under way, and room to spare.
const SPARE: usize = 4;

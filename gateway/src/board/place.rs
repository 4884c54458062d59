//! How a board without a living owner gets one: the first placement, and the seizure of a dead contract server's board.
//!
//! ```text
//!   choose the least loaded ready server ─▶ grant | seize | raise (compare-and-set, synced) ─▶ activate ─▶ settle
//!                      ▲                                                                          │
//!                      └────── another server, or a generation above the fence that refused ──────┘
//! ```
//!
//! One task a board; everybody who wants in waits for the same outcome. A board that nobody has served yet stays with the
//! release that newcomers go to. The board of a contract server that is gone goes there too, and to any other contract
//! server rather than to nobody. An opaque server's board is never seized: that its process is gone has to be told by
//! somebody who knows.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use handover_protocol::contract::{ActivateRequest, ContractProblemType};
use handover_protocol::{BoardId, Generation, Owner, Placement, ReleaseName, ServerName, Term};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info, info_span, warn};

use super::promise::{Promise, Promises};
use super::{Board, Boards};
use crate::config::Route;
use crate::registry::{CasError, RegistryError};
use crate::telemetry::EVENT;
use crate::telemetry::label::Limit;
use crate::upstream::{ControlError, Server};

/// Says why no server took the board.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// No server of the current release is ready, has a weight, and has room.
    #[error("no server of release {release} is ready and has room for another board")]
    NoServer {
        /// The current release.
        release: ReleaseName,
    },
    /// The owner is gone, and nobody can take its place.
    #[error("server {server} is gone, and no contract server is ready to take its board; start one, of any release")]
    NoHeir {
        /// The owner.
        server: ServerName,
    },
    /// The owner is gone and its process is not proven dead, or a move of the board is under way.
    #[error("server {server} owns the board and does not serve")]
    OwnerDown {
        /// The owner.
        server: ServerName,
    },
    /// The owner left the configuration or would not take the board, and no other did.
    #[error("no server took the board in {tries} tries; the last refusal came from {server}")]
    Refused {
        /// How often it was tried.
        tries: u32,
        /// Who refused last.
        server: ServerName,
        /// Why.
        #[source]
        source: Option<ControlError>,
    },
    /// The registry did not answer, or its answer is not known.
    #[error("the registry did not confirm the placement")]
    Registry(#[source] RegistryError),
    /// The gateway is going down.
    #[error("the gateway is shutting down")]
    ShuttingDown,
}

/// Where boards without an owner go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomers {
    /// To servers of this release.
    pub release: ReleaseName,
    /// But not to these: they are being emptied.
    pub closed: HashSet<ServerName>,
}

/// Places boards, each once at a time.
pub struct Placer {
    newcomers: ArcSwap<Newcomers>,
    pending: Mutex<HashMap<BoardId, watch::Receiver<Option<Outcome>>>>,
    /// Boards that a server was chosen for; they count among its load until they are its own.
    promises: Promises,
    /// Boards that are being moved to a server; what is granted of them counts there already.
    moves: Promises,
    tasks: TaskTracker,
}

/// Among which servers an owner is chosen.
#[derive(Debug, Clone, Copy)]
enum Choice<'a> {
    /// Those of the release that newcomers go to.
    Release,
    /// The contract servers of any release, of that one first: they take the place of this owner, which is gone.
    Heir(&'a Owner),
}

type Outcome = Result<(), Arc<PlaceError>>;

impl Placer {
    /// Starts with the release that new boards go to; `tasks` outlives every placement.
    pub fn new(current: ReleaseName, tasks: TaskTracker) -> Self {
        Self {
            newcomers: ArcSwap::from_pointee(Newcomers {
                release: current,
                closed: HashSet::new(),
            }),
            pending: Mutex::default(),
            promises: Promises::default(),
            moves: Promises::default(),
            tasks,
        }
    }

    /// Returns where new boards go.
    pub fn newcomers(&self) -> Arc<Newcomers> {
        self.newcomers.load_full()
    }

    /// Sends new boards elsewhere from now on.
    pub fn direct(&self, newcomers: Newcomers) {
        self.newcomers.store(Arc::new(newcomers));
    }

    /// Counts a board that is about to be moved to a server; nothing where that is being emptied.
    pub fn promise(&self, server: &ServerName) -> Option<Promise> {
        let mut moves = self.moves.lock();
        let is_closed = self.newcomers.load().closed.contains(server);
        (!is_closed).then(|| self.moves.make(&mut moves, server))
    }

    /// Reads whether a board is on its way to a server, chosen for it or being moved to it.
    pub fn is_awaited_at(&self, server: &ServerName) -> bool {
        self.promises.to(server) + self.moves.to(server) > 0
    }

    /// Sees to it that a living server owns the board.
    ///
    /// Cancel-safe: the work goes on in a task of its own.
    pub(super) async fn place(&self, boards: &Arc<Boards>, board: &Arc<Board>, route: &Arc<Route>) -> Outcome {
        let mut outcome = {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            match pending.get(board.id()) {
                Some(outcome) => outcome.clone(),
                // The record was dropped: who waits finds another.
                None if board.is_gone() => return Ok(()),
                None => {
                    let (sender, outcome) = watch::channel(None);
                    pending.insert(board.id().clone(), outcome.clone());
                    board.park();
                    self.tasks
                        .spawn(run(Arc::clone(boards), Arc::clone(board), Arc::clone(route), sender));
                    outcome
                }
            }
        };
        match outcome.wait_for(Option::is_some).await {
            Ok(done) => done.clone().unwrap_or(Ok(())),
            Err(_) => Err(Arc::new(PlaceError::ShuttingDown)),
        }
    }

    /// Chooses the server with the least load, those boards included that are on their way to it. A server that is being
    /// emptied is chosen only for a board that somebody has had, where there is no other, and while it owns boards: what
    /// is called safe to terminate is never given one.
    fn choose(
        &self,
        boards: &Boards,
        choice: Choice<'_>,
        avoided: &HashSet<ServerName>,
    ) -> Result<(Promise, Arc<Server>), Arc<PlaceError>> {
        let mut promised = self.promises.lock();
        let newcomers = self.newcomers();
        let load =
            |server: &Server| boards.owned_by(server.name()) + promised.get(server.name()).copied().unwrap_or_default();
        let is_open = |server: &Server| !avoided.contains(server.name()) && !newcomers.closed.contains(server.name());
        let is_last_resort = |server: &Server| {
            let is_tried = avoided.contains(server.name());
            !is_tried && server.has_contract() && boards.owned_by(server.name()) > 0
        };
        let is_of_release = |server: &Server| *server.release() == newcomers.release;
        let servers = &boards.servers;
        let is_full = |server: &Server| server.is_ready() && is_open(server) && server.room(load(server)) == Some(0);
        if servers.all().iter().any(|server| is_full(server)) {
            boards.metrics.limit_hits.of(Limit::Capacity).inc();
        }
        let server = match choice {
            Choice::Release => servers
                .least_loaded(load, |server| is_open(server) && is_of_release(server))
                .ok_or_else(|| PlaceError::NoServer {
                    release: newcomers.release.clone(),
                }),
            // Without the fence of the contract the owner could still write, should it be alive after all.
            Choice::Heir(gone) => servers
                .least_loaded(load, |server| {
                    is_open(server) && server.has_contract() && is_of_release(server)
                })
                .or_else(|| servers.least_loaded(load, |server| is_open(server) && server.has_contract()))
                .or_else(|| servers.least_loaded(load, is_last_resort))
                .ok_or_else(|| PlaceError::NoHeir {
                    server: gone.server.clone(),
                }),
        }?;
        Ok((self.promises.make(&mut promised, server.name()), server))
    }

    /// Does something to a board that nobody is placing, and that nobody begins to place meanwhile.
    pub(super) fn unless_placing<T>(&self, board: &BoardId, act: impl FnOnce() -> T) -> Option<T> {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        (!pending.contains_key(board)).then(act)
    }

    fn forget(&self, board: &BoardId) {
        self.pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(board);
    }
}

async fn run(boards: Arc<Boards>, board: Arc<Board>, route: Arc<Route>, sender: watch::Sender<Option<Outcome>>) {
    let span = info_span!("place", board = %board.id());
    let outcome = find_owner(&boards, &board, &route).instrument(span.clone()).await;
    if outcome.is_ok() {
        boards.bring_orphans(&board).instrument(span.clone()).await;
    }
    boards.placer().forget(board.id());
    board.unpark();
    match &outcome {
        Ok(()) => {
            board.withdraw_complaint();
            board.cut_stale_sessions();
        }
        // An orphan is offered anew twice a second.
        Err(error) if !board.complains_anew(error, Instant::now()) => {}
        Err(error) => span.in_scope(|| warn!(error = &**error as &dyn std::error::Error, "no server took the board")),
    }
    sender.send_replace(Some(outcome));
}

async fn find_owner(boards: &Arc<Boards>, board: &Arc<Board>, route: &Route) -> Outcome {
    let mut avoided = HashSet::new();
    let mut promise = None;
    let mut refusal: Option<(ServerName, Option<ControlError>)> = None;
    for _ in 0..TRIES {
        let placement = board.placement();
        let Some((next, server)) = plan(boards, &placement, &avoided, &mut promise)? else {
            return Ok(());
        };
        if next != placement {
            write(boards, board, next).await?;
        }
        match activate(board, &server, route).await {
            Ok(()) => {
                let settled = board.placement().settle().map_err(|_| lost_race(board))?;
                write(boards, board, settled).await?;
                let from = placement.owner().filter(|owner| owner.server != *server.name());
                info!(target: EVENT, event = "place", board = board.id().as_str(), server = server.name().as_str(),
                    generation = board.placement().generation.number(), from = from.map(|owner| owner.server.as_str()),
                    "board placed");
                return Ok(());
            }
            Err(ControlError::Refused(problem)) if problem.kind == ContractProblemType::StaleGeneration => {
                let fence = problem.fence.unwrap_or(Generation::NONE);
                warn!(server = %server.name(), %fence, "the fence refused the board; granting above it");
                if let Ok(raised) = board.placement().raise(server.owner(), fence) {
                    write(boards, board, raised).await?;
                }
                refusal = Some((server.name().clone(), Some(ControlError::Refused(problem))));
            }
            Err(error) => {
                warn!(server = %server.name(), %error, "server did not take the board; trying another");
                avoided.insert(server.name().clone());
                refusal = Some((server.name().clone(), Some(error)));
            }
        }
    }
    let (server, source) = refusal.ok_or_else(|| lost_race(board))?;
    Err(Arc::new(PlaceError::Refused {
        tries: TRIES,
        server,
        source,
    }))
}

/// Decides the next grant and who is to be activated; nothing where a living owner is settled.
fn plan(
    boards: &Boards,
    placement: &Placement,
    avoided: &HashSet<ServerName>,
    promise: &mut Option<Promise>,
) -> Result<Option<(Placement, Arc<Server>)>, Arc<PlaceError>> {
    let mut choose = |choice: Choice<'_>| -> Result<Arc<Server>, Arc<PlaceError>> {
        let (made, server) = boards.placer().choose(boards, choice, avoided)?;
        *promise = Some(made);
        Ok(server)
    };
    let coordinator = boards.coordinator.clone();
    let owner_down = |owner: &Owner| {
        Arc::new(PlaceError::OwnerDown {
            server: owner.server.clone(),
        })
    };
    let (next, server) = match &placement.term {
        Term::Vacant => {
            let server = choose(Choice::Release)?;
            (placement.grant(server.owner(), Generation::NONE, coordinator), server)
        }
        Term::Activating { owner, from, .. } => match boards.servers.get(&owner.server) {
            Some(server) if server.may_serve(owner) && !avoided.contains(server.name()) => {
                return Ok(Some((placement.clone(), server)));
            }
            Some(_) | None => {
                let server = choose(match from {
                    Some(_) if is_fenced(owner) => Choice::Heir(owner),
                    // Nobody has served it yet, or nobody's writes are fenced.
                    Some(_) | None => Choice::Release,
                })?;
                (placement.raise(server.owner(), Generation::NONE), server)
            }
        },
        Term::Settled { owner } => match boards.servers.get(&owner.server) {
            Some(server) if server.may_serve(owner) => return Ok(None),
            Some(server) if !server.has_contract() && !server.is_dead() => return Err(owner_down(owner)),
            Some(_) | None => {
                let server = choose(match is_fenced(owner) {
                    true => Choice::Heir(owner),
                    // It was declared dead or has left the configuration: an operator says that its process is gone.
                    false => Choice::Release,
                })?;
                info!(from = %owner.server, to = %server.name(), "seizing the board of a server that is gone");
                (placement.seize(server.owner(), Generation::NONE, coordinator), server)
            }
        },
        Term::Moving { owner, .. } => return Err(owner_down(owner)),
    };
    let next = next.map_err(|_| Arc::new(PlaceError::ShuttingDown))?;
    Ok(Some((next, server)))
}

/// Reads whether an owner writes under a fence; only servers with the contract tell an incarnation.
fn is_fenced(owner: &Owner) -> bool {
    owner.incarnation.is_some()
}

async fn activate(board: &Board, server: &Server, route: &Route) -> Result<(), ControlError> {
    let Some(control) = server.control() else { return Ok(()) };
    let placement = board.placement();
    let request = ActivateRequest {
        generation: placement.generation,
        attempt: placement.attempt,
        revision: None,
        sessions: Vec::new(),
        checkpoint: None,
    };
    // Nobody is held while a board is opened for the first time; it may take as long as a load takes.
    control
        .activate(board.id(), &request, route.prepare_timeout)
        .await
        .map(|_| ())
}

async fn write(boards: &Boards, board: &Board, next: Placement) -> Outcome {
    match boards.change(board, next.clone()).await {
        Ok(()) => Ok(()),
        Err(CasError::Refused { .. } | CasError::Lowered { .. } | CasError::Unavailable { .. }) => {
            Err(lost_race(board))
        }
        Err(CasError::Unknown { source }) => match boards.read_back(board).await {
            Ok(current) if current == next => Ok(()),
            Ok(_) | Err(_) => Err(Arc::new(PlaceError::Registry(source))),
        },
    }
}

/// Somebody else changed the placement first: who waits looks again.
fn lost_race(board: &Board) -> Arc<PlaceError> {
    match board.owner() {
        Some(server) => Arc::new(PlaceError::OwnerDown { server }),
        None => Arc::new(PlaceError::ShuttingDown),
    }
}

/// How often a placement is tried before who waits is told; each try may take a load.
const TRIES: u32 = 4;

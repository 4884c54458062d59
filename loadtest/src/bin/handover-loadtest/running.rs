//! A run of `handover-loadtest`, from the stand to the report.

use std::path::PathBuf;
use std::time::Duration;

use handover_loadtest::demo::Mode;
use handover_loadtest::ending::Ending;
use handover_loadtest::report::Report;
use handover_loadtest::scenario::{AdminError, OwnStand, OwnStandError, Run, RunError, Scales, Stand, find_database};
use handover_loadtest::screen::Ticker;
use handover_loadtest::store::StoreError;
use handover_loadtest::target::{Script, ScriptError, TargetError, TargetLoad};
use handover_loadtest::user::{Endpoint, EndpointError, Resend};
use rustix::process::{Pid, Signal, kill_process};

use super::options::{Blow, DRAIN_IDLE_BOARDS, LoadOptions, Scenario, TargetOptions, Victim, fresh_prefix};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Stand(#[from] OwnStandError),
    #[error(transparent)]
    Script(#[from] ScriptError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error("with --traffic, {0} is needed")]
    Missing(&'static str),
    #[error("nobody can be reached at {endpoint}; start what is to be loaded first, or correct {option}")]
    Nobody {
        endpoint: Endpoint,
        option: &'static str,
        source: std::io::Error,
    },
    #[error("the board servers' database (--database) cannot be read")]
    Database(#[from] StoreError),
    #[error("the gateway's admin API (--admin) cannot be used")]
    Admin(#[from] AdminError),
    #[error("cannot strike process {pid}")]
    Strike { pid: i32, source: rustix::io::Errno },
    #[error("cannot read the token in {} (--token-file)", path.display())]
    Token { path: PathBuf, source: std::io::Error },
    #[error("cannot write {} (--html)", path.display())]
    Html { path: PathBuf, source: std::io::Error },
    #[error("ended before the verdict, so there is no report{0}")]
    Interrupted(&'static str),
}

impl Failure {
    /// Returns the exit code.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Missing(_) | Self::Endpoint(EndpointError::Address(_)) => WRONG_COMMAND_LINE,
            Self::Interrupted(_) => INTERRUPTED,
            Self::Run(_)
            | Self::Stand(_)
            | Self::Script(_)
            | Self::Target(_)
            | Self::Endpoint(EndpointError::Authorities { .. } | EndpointError::NoSystemAuthorities { .. })
            | Self::Nobody { .. }
            | Self::Database(_)
            | Self::Admin(_)
            | Self::Strike { .. }
            | Self::Token { .. }
            | Self::Html { .. } => 1,
        }
    }
}

/// Runs a scenario on the stand that it was told of or on its own, and prints the report.
pub(super) async fn perform(scenario: Scenario, ending: &mut Ending) -> Result<Report, Failure> {
    let load = scenario.load();
    load.printing.check()?;
    let mut own = None;
    // Nothing is lost by a branch that is dropped: whoever asks for an end wants no report.
    let result = tokio::select! {
        result = prepare_and_play(&scenario, &mut own) => result,
        () = ending.asked_for() => Err(Failure::Interrupted(scenario.left_behind())),
    };
    if let Some(own) = own {
        let is_interrupted = matches!(result, Err(Failure::Interrupted(_)));
        let is_failure = !is_interrupted && !result.as_ref().is_ok_and(Report::is_ok);
        if let Some(kept) = own.stop(load.keep || is_failure).await {
            eprintln!("Configuration, logs and database are kept in {}", kept.display());
        }
    }
    let report = result?;
    load.printing.print(&report)?;
    Ok(report)
}

/// Runs a script's users against a server that is no gateway of ours, and prints the report.
pub(super) async fn target(options: &TargetOptions, ending: &mut Ending) -> Result<Report, Failure> {
    options.printing.check()?;
    let script = Script::read(&options.user)?;
    let load = TargetLoad {
        target: Endpoint::read(&options.target, options.trust.ca.as_deref())?,
        sessions: options.sessions,
        boards: options.boards,
        rate: options.rate,
        duration: options.duration,
        prefix: options.prefix.clone().unwrap_or_else(fresh_prefix),
    };
    knock(&load.target, "--target").await?;
    let mut ticker = Ticker::new();
    // As above.
    let report = tokio::select! {
        report = handover_loadtest::target::run(script, &load, &mut ticker) => report?,
        () = ending.asked_for() => return Err(Failure::Interrupted("")),
    };
    drop(ticker);
    options.printing.print(&report)?;
    Ok(report)
}

/// Finds or makes the stand, and runs the scenario on it.
async fn prepare_and_play(scenario: &Scenario, own: &mut Option<OwnStand>) -> Result<Report, Failure> {
    let load = scenario.load();
    let stand = if load.traffic.is_some() {
        let stand = load.stand()?;
        if scenario.drains() && stand.admin.is_none() {
            return Err(Failure::Missing("--admin"));
        }
        if matches!(scenario, Scenario::Crash { pid: None, .. }) {
            return Err(Failure::Missing("--pid"));
        }
        if let Scenario::Release { drain, .. } | Scenario::Drain { drain, .. } = scenario {
            drain.request(false, false)?;
        }
        knock(&stand.endpoint, "--traffic").await?;
        find_database(&stand.database).await?;
        if let Some(admin) = &stand.admin {
            admin.servers().await?;
        }
        stand
    } else {
        let options = load.of_own_stand(matches!(scenario, Scenario::Slow { .. }));
        own.insert(OwnStand::start(&options).await?).stand()
    };
    play(scenario, stand, own).await
}

/// Looks whether there is anybody to be loaded, before the load waits for it.
async fn knock(endpoint: &Endpoint, option: &'static str) -> Result<(), Failure> {
    endpoint.knock().await.map_err(|source| Failure::Nobody {
        endpoint: endpoint.clone(),
        option,
        source,
    })
}

async fn play(scenario: &Scenario, stand: Stand, own: &mut Option<OwnStand>) -> Result<Report, Failure> {
    let options = scenario.load();
    let mut load = options.load(scenario.name()).map_err(RunError::from)?;
    match scenario {
        Scenario::Steady(_) => {}
        Scenario::Release { drain, .. } | Scenario::Drain { drain, .. } => {
            load.resend = match drain.mode {
                Mode::Transparent => Resend::Never,
                Mode::Reconnect | Mode::Auto => Resend::Unacknowledged,
            };
        }
        Scenario::Crash { .. } | Scenario::Storm { .. } => load.resend = Resend::Unacknowledged,
        Scenario::Idle { drawing, .. } => load.silent = load.sessions.saturating_sub(*drawing),
        Scenario::Slow { share, .. } => {
            load.stuck = (load.sessions as f64 * share).round() as u64;
            load.resend = Resend::Unacknowledged;
        }
    }
    if matches!(scenario, Scenario::Drain { .. }) {
        load.idle_boards = options.idle_boards.unwrap_or(DRAIN_IDLE_BOARDS);
    }
    let mut ticker = Ticker::new();
    ticker.say(&format!("{} users gather at {}", load.sessions, stand.endpoint));
    let scales = Scales::new(options.pids(own.as_ref()));
    let mut run = Run::begin_watched(stand, load, |arrival| ticker.gather(arrival)).await?;
    run.watch(scales);
    ticker.draw("drawing", &run, options.duration).await;
    match scenario {
        Scenario::Steady(_) | Scenario::Idle { .. } => {}
        Scenario::Slow { .. } => {
            ticker.say("readers stop");
            run.jam().await;
            ticker.draw("drawing on", &run, options.duration * 2).await;
        }
        Scenario::Release { drain, .. } | Scenario::Drain { drain, .. } => {
            let is_fast = matches!(scenario, Scenario::Drain { .. });
            let request = drain.request(own.is_some(), is_fast)?;
            run.release(request, drain.drain_limit, |status| ticker.drain(status))
                .await?;
            ticker.draw("drawing on", &run, options.duration).await;
        }
        Scenario::Crash {
            what,
            how,
            pid,
            restart_after,
            ..
        } => {
            crash(&mut run, own, (*what, *how), *pid, *restart_after, &mut ticker, options).await?;
        }
        Scenario::Storm { rounds, .. } => {
            for round in 1..=*rounds {
                ticker.say(&format!("round {round} of {rounds}: everybody is cut"));
                if !run.gust(BACK_LIMIT).await {
                    ticker.say(&format!("not everybody is back after {BACK_LIMIT:?}"));
                }
                ticker
                    .draw("drawing on", &run, options.duration.div_f64(*rounds as f64))
                    .await;
            }
        }
    }
    ticker.say("the ledger looks");
    Ok(run.finish().await?)
}

/// Strikes a process, lets users draw on, and lifts what can be lifted.
async fn crash(
    run: &mut Run,
    own: &mut Option<OwnStand>,
    (what, how): (Victim, Blow),
    pid: Option<i32>,
    restart_after: Option<Duration>,
    ticker: &mut Ticker,
    options: &LoadOptions,
) -> Result<(), Failure> {
    let name = match what {
        Victim::Server => OWN_VICTIM,
        Victim::Gateway => "gateway",
    };
    let (signal, how_named) = match how {
        Blow::Kill => (Signal::KILL, "kill"),
        Blow::Stop => (Signal::STOP, "stop"),
    };
    let strike = |signal| match (own.as_ref(), pid) {
        (Some(own), _) => own.signal(name, signal).map_err(Failure::from),
        (None, Some(pid)) => {
            let fault = |source| Failure::Strike { pid, source };
            let target = Pid::from_raw(pid).ok_or(fault(rustix::io::Errno::SRCH))?;
            kill_process(target, signal).map_err(fault)
        }
        (None, None) => Err(Failure::Missing("--pid")),
    };
    let struck = match (own.as_ref(), pid) {
        (None, Some(pid)) => format!("process {pid}"),
        (Some(_), _) | (None, None) => name.to_owned(),
    };
    ticker.say(&format!("{struck}: {how_named}"));
    run.note_strike(&struck, how_named);
    strike(signal)?;
    match (how, what, restart_after) {
        (Blow::Stop, _, _) => {
            let _lifted = Lifted { pid };
            ticker.draw("drawing on", run, options.duration).await;
            strike(Signal::CONT)?;
        }
        (Blow::Kill, Victim::Server, None) => {}
        (Blow::Kill, Victim::Server, Some(_)) | (Blow::Kill, Victim::Gateway, _) => {
            tokio::time::sleep(restart_after.unwrap_or_default()).await;
            if let Some(own) = own {
                own.restart(name).await?;
            }
        }
    }
    ticker.draw("drawing on", run, options.duration).await;
    if !run.all_served(BACK_LIMIT).await {
        ticker.say(&format!("not everybody is served after {BACK_LIMIT:?}"));
    }
    Ok(())
}

/// Lets a process go on that is not of the own stand, however the run ends.
struct Lifted {
    pid: Option<i32>,
}

impl Drop for Lifted {
    fn drop(&mut self) {
        if let Some(pid) = self.pid.and_then(Pid::from_raw) {
            // It may have ended; one that goes on already takes no notice.
            let _ = kill_process(pid, Signal::CONT);
        }
    }
}

/// As clap says it.
const WRONG_COMMAND_LINE: u8 = 2;
/// As shells say it for Ctrl-C.
const INTERRUPTED: u8 = 130;
/// Which server of the own stand is struck.
const OWN_VICTIM: &str = "board-1";
const BACK_LIMIT: Duration = Duration::from_secs(60);

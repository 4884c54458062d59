//! A run of `handover-loadtest`, from the stand to the report.

use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use handover_loadtest::demo::Mode;
use handover_loadtest::report::Report;
use handover_loadtest::scenario::{OwnStand, OwnStandError, Run, RunError, Scales, Stand};
use handover_loadtest::screen::Ticker;
use handover_loadtest::target::{Script, ScriptError, TargetError, TargetLoad};
use handover_loadtest::user::{Endpoint, EndpointError, Progress, Resend};
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
    #[error("cannot strike process {pid}")]
    Strike { pid: i32, source: rustix::io::Errno },
    #[error("cannot write {}", path.display())]
    Html { path: PathBuf, source: std::io::Error },
}

/// Runs a scenario on the stand that it was told of or on its own, and prints the report.
pub(super) async fn perform(scenario: Scenario) -> Result<Report, Failure> {
    let load = scenario.load();
    let mut own = match &load.traffic {
        Some(_) => None,
        None => Some(OwnStand::start(&load.of_own_stand(matches!(scenario, Scenario::Slow { .. }))).await?),
    };
    let stand = match &own {
        Some(own) => own.stand(),
        None => load.stand()?,
    };
    let result = play(&scenario, stand, &mut own).await;
    if let Some(own) = own {
        let is_failure = !result.as_ref().is_ok_and(Report::is_ok);
        if let Some(kept) = own.stop(load.keep || is_failure).await {
            eprintln!("Configuration, logs and database are kept in {}", kept.display());
        }
    }
    let report = result?;
    load.printing.print(&report)?;
    Ok(report)
}

/// Runs a script's users against a server that is no gateway of ours, and prints the report.
pub(super) async fn target(options: &TargetOptions) -> Result<Report, Failure> {
    let script = Script::read(&options.user)?;
    let load = TargetLoad {
        target: Endpoint::read(&options.target, options.trust.ca.as_deref())?,
        sessions: options.sessions,
        boards: options.boards,
        rate: options.rate,
        duration: options.duration,
        prefix: options.prefix.clone().unwrap_or_else(fresh_prefix),
    };
    let tell = |progress: &Progress| {
        let (served, acked) = (progress.served.load(Relaxed), progress.acked.load(Relaxed));
        eprintln!(
            "{served} users, {acked} messages acknowledged, {} unanswered",
            progress.unanswered()
        );
    };
    let report = handover_loadtest::target::run(script, &load, tell).await?;
    options.printing.print(&report)?;
    Ok(report)
}

async fn play(scenario: &Scenario, stand: Stand, own: &mut Option<OwnStand>) -> Result<Report, Failure> {
    let options = scenario.load();
    let has_admin = stand.admin.is_some();
    let mut load = options.load(scenario.name()).map_err(RunError::from)?;
    match scenario {
        Scenario::Steady(_) => {}
        Scenario::Release { drain, .. } | Scenario::Drain { drain, .. } => {
            load.resend = match drain.mode {
                Mode::Transparent => Resend::Never,
                Mode::Reconnect | Mode::Auto => Resend::Unacknowledged,
            };
            if !has_admin {
                return Err(Failure::Missing("--admin"));
            }
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
    ticker.say("users gather");
    let scales = Scales::new(options.pids(own.as_ref()));
    let mut run = Run::begin(stand, load).await?;
    run.watch(scales);
    ticker.draw("drawing", &run, options.duration).await;
    match scenario {
        Scenario::Steady(_) | Scenario::Idle { .. } => {}
        Scenario::Slow { .. } => {
            ticker.say("readers stop");
            run.jam();
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
                ticker.draw("drawing on", &run, options.duration / *rounds).await;
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
    ticker.say(&format!("{name}: {how_named}"));
    run.note_strike(name, how_named);
    strike(signal)?;
    match (how, what, restart_after) {
        (Blow::Stop, _, _) => {
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

/// Which server of the own stand is struck.
const OWN_VICTIM: &str = "board-1";
const BACK_LIMIT: Duration = Duration::from_secs(60);

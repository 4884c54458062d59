//! `handover drain`: move every board off some servers, and everything that can be said to that job.

use std::cmp::Reverse;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use handover_protocol::admin::{
    DrainList, DrainMode, DrainPreview, DrainRequest, DrainState, DrainStatus, OnDeadline, OnTargetDown, PaceRequest,
    ServerSet,
};
use handover_protocol::{DrainId, ReleaseName, ServerName};
use tokio::time::sleep;

use super::client::{Call, ClientError};
use super::common::{Common, Shell};
use super::outcome::{EXIT_CODES, Outcome, ShellError};
use super::print::{Output, say};
use super::watch::{Allowance, Goal, Watch};
use super::words::{Label, MODES, ON_DEADLINE, ON_TARGET_DOWN, labels, spelled, word};

/// Drains.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES, after_long_help = format!("\
Examples:
  handover drain plan  --from-release r1 --to-release r2      which board would go where, and what is in the way
  handover drain start --from-release r1 --to-release r2      start, and watch to the end
  handover drain start --from board-1 --to board-2 --id rel-7 --deadline 10m --on-deadline pause
  handover drain start --from board-1 --to board-2 --detach --output env >> \"$GITHUB_ENV\"
  handover drain watch rel-7
  handover drain undo  rel-7                                  move the boards back

What is not said goes by [drain] of the gateway's configuration; `handover drain show` tells what a drain goes by.
Ctrl-C on a watch leaves the drain running. `start` with an --id can be repeated: the same drain is watched again.

{EXIT_CODES}"))]
pub struct DrainArgs {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: DrainCommand,
}

#[derive(Debug, Subcommand)]
enum DrainCommand {
    /// Start a drain and watch it
    Start(StartArgs),
    /// Say what a drain would do, without doing it
    Plan(RequestArgs),
    /// Watch a drain to its end
    Watch(WatchArgs),
    /// List every drain that the gateway remembers, the newest first
    List,
    /// Show one drain
    Show(Named),
    /// Begin no more moves until it is resumed; those under way end
    Pause(Named),
    /// Go on after a pause
    Resume(Named),
    /// End it; moves that have not committed are undone, the others stay
    Abort(EndArgs),
    /// Move the boards back that it has moved
    Undo(EndArgs),
}

#[derive(Debug, Args)]
struct Named {
    /// The drain
    #[arg(value_name = "DRAIN")]
    id: DrainId,
}

#[derive(Debug, Args)]
struct EndArgs {
    /// The drain
    #[arg(value_name = "DRAIN")]
    id: DrainId,
    /// Return at once rather than watch it to the end
    #[arg(long)]
    detach: bool,
}

#[derive(Debug, Args)]
struct StartArgs {
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    allowance: AllowanceArgs,
    /// Return as soon as it is accepted rather than watch it to the end
    #[arg(long, conflicts_with = "dry_run")]
    detach: bool,
    /// Only say what it would do: `handover drain plan`
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct WatchArgs {
    /// The drain
    #[arg(value_name = "DRAIN")]
    id: DrainId,
    #[command(flatten)]
    allowance: AllowanceArgs,
}

#[derive(Debug, Args)]
struct AllowanceArgs {
    /// Exit with 3 where more sessions than this ended unconfirmed
    #[arg(long, value_name = "N", default_value_t = 0)]
    unconfirmed_max: u64,
    /// Exit with 3 where more sessions than this were told to reconnect although they could have stayed; no limit unless
    /// given
    #[arg(long, value_name = "N")]
    fallen_back_max: Option<u64>,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("sources").required(true)), group(ArgGroup::new("targets").required(true)))]
struct RequestArgs {
    /// Servers that boards leave, by name
    #[arg(long, value_name = "SERVER,…", value_delimiter = ',', group = "sources")]
    from: Vec<ServerName>,
    /// All servers of this release are left
    #[arg(long, value_name = "RELEASE", group = "sources")]
    from_release: Option<ReleaseName>,
    /// Servers where boards go, by name
    #[arg(long, value_name = "SERVER,…", value_delimiter = ',', group = "targets")]
    to: Vec<ServerName>,
    /// Boards go to the servers of this release
    #[arg(long, value_name = "RELEASE", group = "targets")]
    to_release: Option<ReleaseName>,
    /// Your own name for it; makes the start safe to repeat
    #[arg(long, value_name = "DRAIN")]
    id: Option<DrainId>,
    /// How sessions cross; can only narrow what each route allows
    #[arg(long, value_name = "MODE", value_parser = word::<DrainMode>(MODES))]
    mode: Option<DrainMode>,
    /// Moves begun per second; 0 sets no limit
    #[arg(long, value_name = "N")]
    boards_per_second: Option<f64>,
    /// Moves under way at once
    #[arg(long, value_name = "N")]
    boards_at_once: Option<u32>,
    /// Boards that one target loads at once
    #[arg(long, value_name = "N")]
    loads_per_target: Option<u32>,
    /// How long it may take, as 10m, without the time that it is paused; 0s sets no limit
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    deadline: Option<Duration>,
    /// What happens when the deadline has passed with boards left
    #[arg(long, value_name = "ACTION", value_parser = word::<OnDeadline>(ON_DEADLINE))]
    on_deadline: Option<OnDeadline>,
    /// What happens when a target stops being ready
    #[arg(long, value_name = "ACTION", value_parser = word::<OnTargetDown>(ON_TARGET_DOWN))]
    on_target_down: Option<OnTargetDown>,
    /// For how long the sources keep what they had, so that an undo is quick, as 10m
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    undo_window: Option<Duration>,
    /// A note that is given back with it, as KEY=VALUE; several are possible
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<Label>,
}

impl DrainArgs {
    pub(super) async fn run(&self) -> Result<Outcome, ShellError> {
        let shell = &self.common.shell()?;
        match &self.command {
            DrainCommand::Start(args) if args.dry_run => plan(shell, &args.request.request()).await,
            DrainCommand::Start(args) => args.start(shell).await,
            DrainCommand::Plan(args) => plan(shell, &args.request()).await,
            DrainCommand::Watch(args) => args.watch(shell).await,
            DrainCommand::List => {
                let mut list: DrainList = shell.ask(Call::get("/v1/drains")).await?;
                list.drains.sort_by_key(|drain| Reverse(drain.started_at_ms));
                shell.print(&list);
                Ok(Outcome::Done)
            }
            DrainCommand::Show(Named { id }) => {
                shell.print(&status(shell, id).await?);
                Ok(Outcome::Done)
            }
            DrainCommand::Pause(Named { id }) => {
                shell.print(&told(shell, id, "pause").await?);
                Ok(Outcome::Done)
            }
            DrainCommand::Resume(Named { id }) => {
                shell.print(&told(shell, id, "resume").await?);
                Ok(Outcome::Done)
            }
            DrainCommand::Abort(args) => args.end(shell, "abort", Goal::Aborted).await,
            DrainCommand::Undo(args) => args.end(shell, "undo", Goal::Undone).await,
        }
    }
}

impl RequestArgs {
    fn request(&self) -> DrainRequest {
        let set = |servers: &[ServerName], release: &Option<ReleaseName>| match release {
            Some(release) => ServerSet::Release(release.clone()),
            None => ServerSet::Servers(servers.to_vec()),
        };
        DrainRequest {
            id: self.id.clone(),
            mode: self.mode,
            pace: PaceRequest {
                boards_per_second: self.boards_per_second,
                boards_at_once: self.boards_at_once,
                loads_per_target: self.loads_per_target,
            },
            deadline_seconds: self.deadline.map(whole_seconds),
            on_deadline: self.on_deadline,
            on_target_down: self.on_target_down,
            undo_window_seconds: self.undo_window.map(whole_seconds),
            labels: labels(&self.labels),
            ..DrainRequest::new(set(&self.from, &self.from_release), set(&self.to, &self.to_release))
        }
    }
}

impl AllowanceArgs {
    fn allowance(&self) -> Allowance {
        Allowance {
            unconfirmed_max: self.unconfirmed_max,
            fallen_back_max: self.fallen_back_max.unwrap_or(u64::MAX),
        }
    }
}

impl StartArgs {
    async fn start(&self, shell: &Shell) -> Result<Outcome, ShellError> {
        let request = DrainRequest {
            // With a name of ours the start can be repeated where its answer was lost.
            id: Some(self.request.id.clone().unwrap_or_else(fresh_id)),
            ..self.request.request()
        };
        // What the gateway says of a start is the same for a drain that there is already.
        let before = match &self.request.id {
            Some(id) => status(shell, id).await.ok(),
            None => None,
        };
        let status = accepted(shell, &request).await?;
        say(&match before {
            None => format!("drain {} is accepted", status.id),
            Some(before) if before.done => format!(
                "drain {} has ended already as {}; nothing was started",
                status.id,
                spelled(&status.state)
            ),
            Some(_) => format!("drain {} was started already; nothing was started anew", status.id),
        });
        if self.detach {
            shell.print(&status);
            return Ok(Outcome::Done);
        }
        let watch = Watch {
            shell,
            drain: status.id,
            goal: Goal::Emptied,
            allowance: self.allowance.allowance(),
        };
        watch.run().await
    }
}

impl WatchArgs {
    /// Watches for what the drain is at: its end, or that of its undo.
    async fn watch(&self, shell: &Shell) -> Result<Outcome, ShellError> {
        let goal = match status(shell, &self.id).await?.state {
            DrainState::Undoing | DrainState::Undone => Goal::Undone,
            DrainState::Running | DrainState::Paused | DrainState::Done | DrainState::Failed | DrainState::Aborted => {
                Goal::Emptied
            }
        };
        let watch = Watch {
            shell,
            drain: self.id.clone(),
            goal,
            allowance: self.allowance.allowance(),
        };
        watch.run().await
    }
}

impl EndArgs {
    async fn end(&self, shell: &Shell, verb: &str, goal: Goal) -> Result<Outcome, ShellError> {
        let status = told(shell, &self.id, verb).await?;
        if self.detach {
            shell.print(&status);
            return Ok(Outcome::Done);
        }
        let watch = Watch {
            shell,
            drain: self.id.clone(),
            goal,
            allowance: Allowance {
                unconfirmed_max: u64::MAX,
                fallen_back_max: u64::MAX,
            },
        };
        watch.run().await
    }
}

async fn status(shell: &Shell, id: &DrainId) -> Result<DrainStatus, ShellError> {
    shell.ask(Call::get(format!("/v1/drains/{id}"))).await
}

async fn told(shell: &Shell, id: &DrainId, verb: &str) -> Result<DrainStatus, ShellError> {
    shell.ask(Call::post(format!("/v1/drains/{id}/{verb}"))).await
}

/// Starts a drain; where the answer was lost it asks again, for the drain may have been started.
async fn accepted(shell: &Shell, request: &DrainRequest) -> Result<DrainStatus, ShellError> {
    let mut tries = 1;
    loop {
        match shell.ask(Call::post("/v1/drains").with(request)).await {
            Err(ShellError::Client(error @ (ClientError::Broken { .. } | ClientError::Cut(_))))
                if tries < TRIES_MAX =>
            {
                say(&format!("{error}; trying again"));
                tries += 1;
                sleep(RETRY_INTERVAL).await;
            }
            answer => return answer,
        }
    }
}

async fn plan(shell: &Shell, request: &DrainRequest) -> Result<Outcome, ShellError> {
    let preview: DrainPreview = shell.ask(Call::post("/v1/plans").with(request)).await?;
    shell.print(&preview);
    if preview.acceptable {
        let homeless = homeless(&preview);
        if homeless == 0 {
            return Ok(Outcome::Done);
        }
        say(&format!(
            "handover: the drain would not come to its end: no target has room for {homeless} boards; see handover servers \
             for who is full or has weight 0"
        ));
        return Ok(Outcome::Refused);
    }
    if shell.output != Output::Text {
        for problem in &preview.problems {
            say(&format!("handover: {} ({})", problem.detail, problem.reason));
        }
    }
    Ok(Outcome::Refused)
}

/// Counts the boards for which every target is full or without a weight.
fn homeless(preview: &DrainPreview) -> u64 {
    let full = preview
        .problems
        .iter()
        .filter(|problem| problem.reason == "targets_full");
    full.map(|problem| problem.boards).sum()
}

/// Rounds up: no time at all was not meant.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

fn fresh_id() -> DrainId {
    let number = getrandom::u32().expect("the system has randomness once it runs commands");
    format!("drain-{number:08x}")
        .parse()
        .expect("letters and hexadecimal digits are a drain's id")
}

/// A gateway that breaks off three times has more than a bad moment.
const TRIES_MAX: u32 = 3;

/// Between two tries.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boards_without_room_anywhere_keep_a_plan_from_its_end_and_others_do_not() {
        let preview = |reason: &str| -> DrainPreview {
            let json = serde_json::json!({
                "acceptable": true, "problems": [{"reason": reason, "detail": "", "boards": 3}], "sources": ["a"],
                "targets": ["b"], "estimate_seconds": 1.0, "boards": [], "truncated": false,
                "totals": {"boards": 5, "sessions": 5, "transparent": 5, "reconnect": 0, "stay": 0},
            });
            serde_json::from_value(json).unwrap()
        };
        assert_eq!(homeless(&preview("targets_full")), 3);
        assert_eq!(homeless(&preview("bounce_limit")), 0);
    }
}

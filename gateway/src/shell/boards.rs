//! `handover boards`, `sessions` and `moves`: what is open where, and moving or closing one of it.

use std::time::Duration;

use clap::{Args, Subcommand};
use handover_protocol::admin::{BoardView, DrainMode, MoveList, MoveReport, MoveRequest, SessionList};
use handover_protocol::machine::drain::advice;
use handover_protocol::{BoardId, ServerName, SessionId};
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::Call;
use super::common::{Common, Shell};
use super::outcome::{EXIT_CODES, Outcome, ShellError};
use super::print::{Data, flatten, say, shown, table};
use super::words::{MODES, segment, spelled, word};

/// Open boards.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES, after_long_help = format!("\
Examples:
  handover boards --server board-1                  what board-1 owns
  handover boards sessions b42                      who is on it
  handover boards move b42 --to board-2             move one board, now

{EXIT_CODES}"))]
pub struct BoardsArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    list: ListArgs,
    #[command(subcommand)]
    command: Option<BoardsCommand>,
}

#[derive(Debug, Clone, Args)]
struct ListArgs {
    /// Only boards that this server owns
    #[arg(long, value_name = "SERVER")]
    server: Option<ServerName>,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

#[derive(Debug, Subcommand)]
enum BoardsCommand {
    /// List open boards (the default)
    List(ListArgs),
    /// Show one board
    Show(Named),
    /// List the sessions of a board
    Sessions(Named),
    /// Move a board to another server
    Move(MoveArgs),
}

#[derive(Debug, Args)]
struct Named {
    /// The board
    #[arg(value_name = "BOARD")]
    board: BoardId,
}

#[derive(Debug, Args)]
struct MoveArgs {
    /// The board
    #[arg(value_name = "BOARD")]
    board: BoardId,
    /// The target
    #[arg(long, value_name = "SERVER")]
    to: ServerName,
    /// How sessions cross; can only narrow what the route allows
    #[arg(long, value_name = "MODE", default_value = "auto", value_parser = word::<DrainMode>(MODES))]
    mode: DrainMode,
}

/// Sessions.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct SessionsArgs {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: SessionsCommand,
}

#[derive(Debug, Subcommand)]
enum SessionsCommand {
    /// Close a session with a close frame
    Close {
        /// The session, as `handover boards sessions` lists it
        #[arg(value_name = "SESSION")]
        session: SessionId,
        /// The code of the close frame
        #[arg(long, value_name = "CODE")]
        code: Option<u16>,
    },
}

/// Moves.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct MovesArgs {
    #[command(flatten)]
    common: Common,
}

/// One page of boards; `next` is the `after` of the next one.
#[derive(Debug, Deserialize)]
struct Page {
    boards: Vec<BoardView>,
    #[serde(default)]
    next: Option<String>,
}

#[derive(Debug, Serialize)]
struct Boards {
    boards: Vec<BoardView>,
}

impl BoardsArgs {
    pub(super) async fn run(&self) -> Result<Outcome, ShellError> {
        let shell = self.common.shell()?;
        match &self.command {
            None => shell.print(&list(&shell, &self.list).await?),
            Some(BoardsCommand::List(args)) => {
                let args = ListArgs {
                    server: args.server.clone().or_else(|| self.list.server.clone()),
                    limit: args.limit.or(self.list.limit),
                };
                shell.print(&list(&shell, &args).await?);
            }
            Some(BoardsCommand::Show(Named { board })) => {
                let view: BoardView = shell.ask(Call::get(path(board, ""))).await?;
                shell.print(&view);
            }
            Some(BoardsCommand::Sessions(Named { board })) => {
                let list: SessionList = shell.ask(Call::get(path(board, "/sessions"))).await?;
                shell.print(&list);
            }
            Some(BoardsCommand::Move(args)) => return args.carry(&shell).await,
        }
        Ok(Outcome::Done)
    }
}

impl MoveArgs {
    async fn carry(&self, shell: &Shell) -> Result<Outcome, ShellError> {
        let request = MoveRequest {
            to: self.to.clone(),
            mode: self.mode,
        };
        let call = Call::post(path(&self.board, "/move"))
            .with(&request)
            .within(MOVE_TIMEOUT);
        let report: MoveReport = shell.ask(call).await?;
        shell.print(&report);
        if report.result == "moved" {
            return Ok(Outcome::Done);
        }
        let result = &report.result;
        let Some(left) = report.retry_after_ms else {
            say(&format!(
                "handover: the board was not moved ({result}): {}",
                advice(result)
            ));
            return Ok(Outcome::Failed);
        };
        // Nothing was tried: the gateway does not let it be moved yet.
        say(&format!(
            "handover: the board was not moved ({result}): its users were told to reconnect of late; try again in {} s, or \
             lower bounce_limit of the route",
            left.div_ceil(1000)
        ));
        Ok(Outcome::Refused)
    }
}

impl SessionsArgs {
    pub(super) async fn run(&self) -> Result<Outcome, ShellError> {
        let shell = self.common.shell()?;
        let SessionsCommand::Close { session, code } = &self.command;
        let query = code.map_or(String::new(), |code| format!("?code={code}"));
        let call = Call::new(Method::DELETE, format!("/v1/sessions/{session}{query}"));
        shell.order(call).await?;
        say(&format!("session {session} is closed"));
        Ok(Outcome::Done)
    }
}

impl MovesArgs {
    pub(super) async fn run(&self) -> Result<Outcome, ShellError> {
        let shell = self.common.shell()?;
        let list: MoveList = shell.ask(Call::get("/v1/moves?limit=10000")).await?;
        shell.print(&list);
        Ok(Outcome::Done)
    }
}

/// As many boards as are asked for at once.
const PAGE: usize = 1_000;

async fn list(shell: &Shell, args: &ListArgs) -> Result<Boards, ShellError> {
    let mut boards: Vec<BoardView> = Vec::new();
    let mut after: Option<String> = None;
    let wanted = args.limit.unwrap_or(usize::MAX);
    loop {
        let server = args.server.as_ref().map(|server| format!("server={server}"));
        let behind = after.as_ref().map(|after| format!("after={}", encoded(after)));
        let room = (wanted - boards.len()).clamp(1, PAGE);
        let query: Vec<String> = [server, behind, Some(format!("limit={room}"))]
            .into_iter()
            .flatten()
            .collect();
        let page: Page = shell.ask(Call::get(format!("/v1/boards?{}", query.join("&")))).await?;
        let is_over = page.boards.is_empty() || page.next.is_none();
        boards.extend(page.boards);
        if is_over || boards.len() >= wanted {
            boards.truncate(wanted);
            return Ok(Boards { boards });
        }
        after = page.next;
    }
}

fn path(board: &BoardId, behind: &str) -> String {
    format!("/v1/boards/{}{behind}", segment(board))
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

impl Data for Boards {
    fn text(&self) -> String {
        let rows: Vec<_> = self.boards.iter().map(row).collect();
        table(["BOARD", "SERVER", "STATE", "GENERATION", "SESSIONS"], &rows)
    }

    fn json(&self) -> Value {
        json!(self)
    }

    fn lines(&self) -> Vec<Value> {
        self.boards.iter().map(|board| json!(board)).collect()
    }

    fn env(&self) -> Vec<(String, String)> {
        flatten("HANDOVER", &self.json())
    }
}

fn row(board: &BoardView) -> [String; 5] {
    [
        shown(board.board.as_str()),
        board.server.as_ref().map_or("-".to_owned(), ToString::to_string),
        spelled(&board.state),
        board.generation.to_string(),
        board.sessions.to_string(),
    ]
}

impl Data for BoardView {
    fn text(&self) -> String {
        let [board, server, state, generation, sessions] = row(self);
        format!(
            "board       {board}\nserver      {server}\nstate       {state}\ngeneration  {generation}\nsessions    {sessions}\n"
        )
    }

    fn json(&self) -> Value {
        json!(self)
    }

    fn env(&self) -> Vec<(String, String)> {
        flatten("HANDOVER_BOARD", &self.json())
    }
}

impl Data for SessionList {
    fn text(&self) -> String {
        let row = |session: &handover_protocol::admin::SessionView| {
            [
                session.session.to_string(),
                session.server.to_string(),
                session.route.clone(),
                shown(&session.client),
                super::drain_view::clock(session.opened_at_ms),
                if session.transparent {
                    "transparent"
                } else {
                    "reconnect"
                }
                .to_owned(),
                session.switches.to_string(),
            ]
        };
        let rows: Vec<_> = self.sessions.iter().map(row).collect();
        table(
            [
                "SESSION",
                "SERVER",
                "ROUTE",
                "CLIENT",
                "OPENED",
                "CROSSES BY",
                "SWITCHES",
            ],
            &rows,
        )
    }

    fn json(&self) -> Value {
        json!(self)
    }

    fn lines(&self) -> Vec<Value> {
        self.sessions.iter().map(|session| json!(session)).collect()
    }

    fn env(&self) -> Vec<(String, String)> {
        flatten("HANDOVER", &self.json())
    }
}

impl Data for MoveReport {
    fn text(&self) -> String {
        let owner = self.server.as_ref().map_or("nobody".to_owned(), ToString::to_string);
        format!(
            "{}: {}; {owner} owns it under generation {}; {} sessions stayed open, {} were told to reconnect\n",
            shown(self.board.as_str()),
            self.result,
            self.generation,
            self.switched,
            self.reconnected
        )
    }

    fn json(&self) -> Value {
        json!(self)
    }

    fn env(&self) -> Vec<(String, String)> {
        flatten("HANDOVER_MOVE", &self.json())
    }
}

impl Data for MoveList {
    fn text(&self) -> String {
        let row = |record: &handover_protocol::admin::MoveRecord| {
            [
                super::drain_view::clock(record.ended_at_ms),
                shown(record.board.as_str()),
                record.from.to_string(),
                record.to.to_string(),
                record.result.clone(),
                spelled(&record.level),
                spelled(&record.mode),
                record.sessions.to_string(),
                blackout(record).map_or("-".to_owned(), |held| format!("{held:.0}")),
                record.drain.clone().unwrap_or("-".to_owned()),
            ]
        };
        let rows: Vec<_> = self.moves.iter().map(row).collect();
        table(
            [
                "ENDED", "BOARD", "FROM", "TO", "RESULT", "LEVEL", "MODE", "SESSIONS", "HELD MS", "DRAIN",
            ],
            &rows,
        )
    }

    fn json(&self) -> Value {
        json!(self)
    }

    fn lines(&self) -> Vec<Value> {
        self.moves.iter().map(|record| json!(record)).collect()
    }

    fn env(&self) -> Vec<(String, String)> {
        flatten("HANDOVER", &self.json())
    }
}

/// Returns for how many milliseconds a move held its sessions.
pub(super) fn blackout(record: &handover_protocol::admin::MoveRecord) -> Option<f64> {
    Some(record.switched_at_ms? - record.hold_at_ms?)
}

/// A target may take a minute to load the board, and the hold comes behind that.
const MOVE_TIMEOUT: Duration = Duration::from_secs(120);

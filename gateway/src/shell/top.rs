//! `handover top`: a picture of the gateway that is drawn anew every second.

use std::io::{self, IsTerminal, Read, Write};
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::client::Call;
use super::common::{Common, Shell};
use super::outcome::{EXIT_CODES, Outcome, ShellError};
use super::print::{Data, Output, flatten};
use super::top_frame::{Heard, Ink, frame};
use super::watch::interrupted;

/// Shows servers, running drains and the last moves; q or Ctrl-C ends it. Without a terminal it prints one picture.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct TopArgs {
    #[command(flatten)]
    common: Common,
    /// How often it is drawn anew
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = humantime::parse_duration)]
    every: Duration,
}

impl TopArgs {
    pub(super) async fn run(&self) -> Result<Outcome, ShellError> {
        let shell = self.common.shell()?;
        let is_live = shell.output == Output::Text && io::stdout().is_terminal() && io::stdin().is_terminal();
        if !is_live {
            shell.print(&hear(&shell).await?);
            return Ok(Outcome::Done);
        }
        // What is wrong at the start is said as every command says it.
        let mut heard = Ok(hear(&shell).await?);
        let screen = Screen::open()?;
        let mut keys = keys();
        // One for all pictures: a signal that comes while the gateway is asked must not be lost.
        let mut stop = pin!(interrupted());
        loop {
            screen.draw(&shell, &heard);
            tokio::select! {
                () = sleep(self.every.max(EVERY_MIN)) => heard = hear(&shell).await,
                () = &mut stop => return Ok(Outcome::Done),
                key = keys.recv() => if matches!(key, None | Some(b'q' | b'Q' | 0x1b)) {
                    return Ok(Outcome::Done);
                },
            }
        }
    }
}

async fn hear(shell: &Shell) -> Result<Heard, ShellError> {
    Ok(Heard {
        servers: shell.ask(Call::get("/v1/servers")).await?,
        drains: shell.ask(Call::get("/v1/drains")).await?,
        moves: shell.ask(Call::get("/v1/moves?limit=100")).await?,
    })
}

impl Data for Heard {
    fn text(&self) -> String {
        let lines = frame(self, "handover top", (PLAIN_COLUMNS, PLAIN_ROWS), Ink::Plain);
        lines.join("\n") + "\n"
    }

    fn json(&self) -> Value {
        json!({ "servers": self.servers.servers, "drains": self.drains.drains, "moves": self.moves.moves })
    }

    fn env(&self) -> Vec<(String, String)> {
        let mut pairs = self.servers.env();
        pairs.extend(self.drains.env());
        pairs.extend(flatten("HANDOVER", &json!(self.moves)));
        pairs
    }
}

/// A terminal that was taken over, and is given back as it was.
struct Screen {
    before: Termios,
    ink: Ink,
}

impl Screen {
    fn open() -> Result<Self, ShellError> {
        let refused = |error: rustix::io::Errno| ShellError::System(format!("the terminal cannot be set: {error}"));
        let before = tcgetattr(io::stdin()).map_err(refused)?;
        let mut silent = before.clone();
        // Signals stay: Ctrl-C is heard as one.
        silent.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Now, &silent).map_err(refused)?;
        let has_colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let ink = if has_colours { Ink::Colours } else { Ink::Plain };
        put("\x1b[?1049h\x1b[?25l");
        Ok(Self { before, ink })
    }

    /// Draws over what is there, so that nothing flickers.
    fn draw(&self, shell: &Shell, heard: &Result<Heard, ShellError>) {
        let size = tcgetwinsize(io::stdout()).map_or((PLAIN_COLUMNS, PLAIN_ROWS), |size| {
            (usize::from(size.ws_col), usize::from(size.ws_row))
        });
        let title = format!("handover top - {} - q ends", shell.client.address());
        let lines = match heard {
            Ok(heard) => frame(heard, &title, size, self.ink),
            Err(error) => vec![title, String::new(), error.to_string()],
        };
        let mut picture = String::from("\x1b[H");
        for line in lines.iter().take(size.1.max(2) - 1) {
            picture += line;
            picture += "\x1b[K\r\n";
        }
        picture += "\x1b[J";
        put(&picture);
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        put("\x1b[?25h\x1b[?1049l");
        // The terminal may be gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

fn put(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// Reads keys on a thread of its own, which ends with the process.
fn keys() -> mpsc::Receiver<u8> {
    let (sender, keys) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut key = [0];
        while matches!(io::stdin().read(&mut key), Ok(1)) {
            if sender.blocking_send(key[0]).is_err() {
                return;
            }
        }
    });
    keys
}

/// Drawing more often than this helps nobody and costs the gateway.
const EVERY_MIN: Duration = Duration::from_millis(200);

/// The picture of a pipe.
const PLAIN_COLUMNS: usize = 120;
const PLAIN_ROWS: usize = 40;

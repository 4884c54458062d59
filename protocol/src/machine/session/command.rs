//! What a session asks of its driver.

use std::fmt;

/// What the driver has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// Send the route's text command to the client, and stop at its Close from now on.
    SendCommand,
    /// Stop passing client frames on at the next message boundary; keep the source's Close back.
    StopUp,
    /// Keep client frames back from here on: none is under way, and their server is gone.
    KeepUp,
    /// Pass client frames on, those that waited first.
    OpenUp,
    /// Pass the upstream's frames on, those that waited first.
    OpenDown,
    /// Take the source's messages up to its count, then stop; where the stream has ended already, say at once whether
    /// the count was reached.
    DrainDown,
    /// Send a Ping with a nonce of ours to the source.
    SendPing,
    /// Send a Close to the source, then take what it says until its stream ends.
    SendSourceClose,
    /// Shut the source's connection down and read it to its end aside; what it says is dropped.
    ReleaseSource,
    /// Dial the target and replay.
    Dial,
    /// Send a Close to the client, unless the upstream's was passed on: that it should reconnect, or that it broke the
    /// protocol.
    SendClose,
    /// Shut the client's connection down once everything for it is written.
    EndClient,
    /// Shut the write side of the upstream once everything for it is written.
    ShutUpstream,
    /// Answer the mover: done.
    AnswerYes,
    /// Answer the mover: not done. The session leaves by itself, or (Confirm, CloseSource) is held still and unconfirmed.
    AnswerNo,
    /// Close both sockets.
    End,
}

/// What an event led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Do this, in order.
    Commands(Vec<Command>),
    /// Nothing to do: the event came late, or changes no more than the phase.
    Nothing,
    /// No driver should have sent that and nothing has changed; log and count it, then go on. A question is answered no.
    Anomaly,
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => formatter.write_str("–"),
            Self::Anomaly => formatter.write_str("anomaly"),
            Self::Commands(commands) => {
                let names: Vec<String> = commands.iter().map(|command| format!("{command:?}")).collect();
                formatter.write_str(&names.join(", "))
            }
        }
    }
}

//! What a move asks of its driver.

/// What the driver has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// Compare-and-set the placement to moving.
    Claim,
    /// Have the target load the board.
    Prepare,
    /// Park newcomers.
    Park,
    /// Tell every client by the route's message; wait until each has left, at most the close deadline.
    Tell,
    /// Stop client frames, let requests finish, give dials up; starts the hold's clock.
    Hold,
    /// Freeze the source with the counts of every session.
    Freeze,
    /// Bring the source's counted messages home.
    DrainDown,
    /// Ping the opaque source and wait until it is quiet.
    Quiet,
    /// Close the opaque source's connections and read them to their end.
    CloseSource,
    /// Wait for the opaque source's save.
    Settle,
    /// Compare-and-set ownership to the target.
    Commit,
    /// Read the placement, after a pause where it was read or written before; [`super::Event::found`] says what it means.
    ReadBack,
    /// Activate the target.
    Activate,
    /// Compare-and-set to a generation above the fence that refused.
    Raise,
    /// Attach every session to the target.
    Switch,
    /// Settle the placement: the target serves.
    SettlePlacement,
    /// Close every session that is still held, telling it to reconnect.
    CutSessions,
    /// Let held sessions go on; who is still being attached has to reconnect.
    Resume,
    /// Let newcomers in.
    Unpark,
    /// Refuse newcomers.
    Shut,
    /// Have the source drop the board.
    Release,
    /// Have the target drop its standby.
    ForgetStandby,
    /// Compare-and-set the attempt up and the board back to the source. Where another record is found in its
    /// place, [`super::Event::found`] may say what it means.
    RaiseAttempt,
    /// Have the source take the board back.
    Thaw,
    /// Attach every session to the source again.
    Redial,
    /// Report the end: see [`Move::result`].
    Finish,
}

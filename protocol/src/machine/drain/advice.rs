//! What an operator can do about what keeps boards from moving, reason by reason.

/// Returns what a reason says and the way out, in one or two sentences.
pub fn advice(reason: &str) -> &'static str {
    match reason {
        "prepare_refused" | "prepare_timeout" | "target_nonsense" => {
            "the target did not load the board; its log says why. Nobody was disturbed"
        }
        "target_down" => "the target was not to be reached; handover servers says why",
        "target_not_ready" => "the target is not ready to take boards; handover servers says why",
        "targets_full" => {
            "every target that is ready is full or has weight 0; give them more capacity or a weight, or name more targets"
        }
        "unknown_target" | "unknown_source" => {
            "the server is not known to the gateway any more; handover servers lists all"
        }
        "stay" => "the board's route says that it is not moved; it is waited for until its users have left",
        "bounce_limit" => {
            "its users were told to reconnect of late; the drain waits until they may be told again (bounce_limit of the route)"
        }
        "move_interval" => "the board was moved of late; the drain waits for drain.board_move_interval",
        "counts_drift" => {
            "the source counts other sessions on the board than the gateway carries: somebody connects past the gateway, \
             or one side has lost track. Compare handover boards sessions ID with the source's GET /handover/v1/boards"
        }
        "requests_in_flight" => {
            "a plain request of the board was not answered within request_timeout; cut_streams of the route cuts answers \
             that stream"
        }
        "hold_timeout" => {
            "the hold was over before the board could move; see handover_move_step_seconds for the slow step"
        }
        "save_unconfirmed" => "the route's settle_hook did not confirm within settle that the board is saved",
        "freeze_refused" | "freeze_unanswered" | "source_nonsense" => {
            "the source did not confirm that it has saved; its log says why"
        }
        "source_down" => {
            "the source was not to be reached; once it counts as lost its boards are activated at the target"
        }
        "activate_refused" | "activate_unanswered" => {
            "the target did not confirm that it took the board; whoever comes next has it activated"
        }
        "registry_unknown" => "the registry did not answer; moves wait for it",
        "superseded" => "somebody else changed the board's placement",
        "aborted" => "the move was undone because it was asked for",
        _ => "see docs/operating.md and the gateway's log",
    }
}

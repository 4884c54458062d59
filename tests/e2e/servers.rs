//! The test servers on other people's libraries, each by itself: what the moves' tests build on.

mod contract;
mod libraries;
mod whiteboard;

use handover_protocol::contract::ContractProblemType;
use handover_tests::{BoardServer, ContractError, User, UserError};

/// Connects as the gateway does: for a board under a generation, as a session.
async fn connect(server: &BoardServer, board: &str, generation: u64, session: &str) -> Result<User, UserError> {
    let generation = generation.to_string();
    let headers = [
        ("handover-board", board),
        ("handover-generation", generation.as_str()),
        ("handover-session", session),
    ];
    User::connect_with(server.traffic(), board, session, &headers).await
}

/// The same, welcomed.
async fn join(server: &BoardServer, board: &str, generation: u64, session: &str) -> User {
    let connected = connect(server, board, generation, session).await;
    let mut user = connected.unwrap_or_else(|error| panic!("{session}: {error:?}"));
    user.hello().await;
    user
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, ContractError>, kind: ContractProblemType) {
    match result {
        Err(ContractError::Refused(problem)) => assert_eq!(problem.kind, kind, "{problem:?}"),
        Err(error) => panic!("no problem of the contract: {error:?}"),
        Ok(answer) => panic!("not refused: {answer:?}"),
    }
}

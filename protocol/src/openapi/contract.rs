//! The control contract as OpenAPI.

use utoipa::openapi::path::HttpMethod::{Delete, Get, Post, Put};
use utoipa::openapi::{OpenApi, Required};

use super::call::{Call, Document};
use crate::contract::ContractProblemType::{
    self, Busy, NotFrozen, NotOwner, RevisionMissing, StaleAttempt, StaleGeneration, UnknownBoard,
};
use crate::contract::wire::BOARDS_PER_PAGE_MAX;
use crate::contract::{
    ActivateRequest, Activated, BoardPage, ContractProblem, FreezeRequest, Frozen, PrepareRequest, Prepared,
    ServerReport, ThawRequest, Thawed,
};
use crate::generation::{Attempt, Generation};
use crate::id::BoardId;

/// Describes what a board server implements at its control URL.
pub fn contract() -> OpenApi {
    let mut document = Document::default();
    document.call(
        Get,
        "/handover/v1/server",
        "reportServer",
        "Who answers, and whether it can take boards.",
        |call| refused(call.answer::<ServerReport>(200, "The server as it is now."), []).end(),
    );
    document.call(
        Get,
        "/handover/v1/boards",
        "listBoards",
        "What the server holds in memory, by board id.",
        |call| {
            let call = call
                .query::<BoardId>("after", "The `next` of the page before.", Required::False)
                .query_number("limit", "Most boards of a page.", Some(BOARDS_PER_PAGE_MAX))
                .answer::<BoardPage>(200, "One page.");
            refused(call, []).end()
        },
    );
    document.call(
        Put,
        "/handover/v1/boards/{board}",
        "prepare",
        "Load the board as a standby while another server serves it.",
        |call| {
            let call = board(call).body::<PrepareRequest>();
            let call = call.answer::<Prepared>(200, "The standby is loaded, or brought up to date.");
            refused(call, [StaleGeneration, StaleAttempt, Busy]).end()
        },
    );
    document.call(
        Post,
        "/handover/v1/boards/{board}/freeze",
        "freeze",
        "Handle what was passed on, save it, and take no more.",
        |call| {
            let call = board(call).body::<FreezeRequest>();
            let call = call.answer::<Frozen>(
                200,
                "Everything that was counted is handled and saved, but what is short.",
            );
            refused(call, [StaleGeneration, StaleAttempt, NotOwner, UnknownBoard, Busy]).end()
        },
    );
    document.call(
        Post,
        "/handover/v1/boards/{board}/activate",
        "activate",
        "Take the fence in the database and own the board.",
        |call| {
            let call = board(call).body::<ActivateRequest>();
            let call = call.answer::<Activated>(200, "The server owns the board under that generation.");
            refused(call, [StaleGeneration, StaleAttempt, RevisionMissing, Busy]).end()
        },
    );
    document.call(
        Post,
        "/handover/v1/boards/{board}/thaw",
        "thaw",
        "The move is off: take the board back, and close the attempt.",
        |call| {
            let call = board(call).body::<ThawRequest>();
            let call = call.answer::<Thawed>(200, "The server serves the board again, or never stopped.");
            refused(call, [StaleGeneration, StaleAttempt, NotOwner, UnknownBoard, Busy]).end()
        },
    );
    document.call(
        Delete,
        "/handover/v1/boards/{board}",
        "forget",
        "Drop the standby or the frozen copy, never an active board.",
        |call| {
            let call = board(call)
                .query::<Generation>(
                    "generation",
                    "The generation that the copy is held under.",
                    Required::True,
                )
                .query::<Attempt>("attempt", "The attempt that made the copy.", Required::True)
                .empty_answer(204, "The server has no such copy any more.");
            refused(call, [StaleGeneration, StaleAttempt, NotFrozen, Busy]).end()
        },
    );
    document.finish_with_token(
        "Handover control contract",
        "What a board server implements so that its boards can be moved. Calls are idempotent by (board, generation, \
         attempt); a lower generation or attempt is refused. Durations count from receipt. contract.md explains each \
         call by example.",
    )
}

fn board(call: Call<'_>) -> Call<'_> {
    call.segment::<BoardId>("board", "The board's id, percent-encoded as one segment.")
}

fn refused<const N: usize>(call: Call<'_>, kinds: [ContractProblemType; N]) -> Call<'_> {
    call.refusals::<ContractProblem, _>(kinds.map(|kind| (kind.status(), kind)))
        .empty_answer(
            400,
            "The request is none of the contract's; the gateway never sends such a one.",
        )
        .empty_answer(401, "The control token is missing or wrong.")
}

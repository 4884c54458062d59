//! The admin API as OpenAPI.

use utoipa::openapi::path::HttpMethod::{Delete, Get, Post, Put};
use utoipa::openapi::{OpenApi, Required};

use super::call::{Call, Document};
use crate::admin::ProblemType::{
    self, BadJson, BoardNotMovable, BodyTooLarge, ConfigInvalid, DrainConflict, DrainEnded, DrainExists, ForbiddenHost,
    ForbiddenOrigin, IdempotencyMismatch, ImpossibleDrain, ImpossibleServer, InsufficientScope, Internal, InvalidField,
    RegistryUnavailable, ServerAlive, ServerConfigured, ServerInUse, ShuttingDown, Starting, TargetNotReady,
    Unauthorized, UndoWindowOver, UnknownBoard, UnknownCertificate, UnknownDrain, UnknownReference, UnknownServer,
    UnknownSession, UnsupportedMediaType,
};
use crate::admin::{
    BoardList, BoardView, ConfigReloaded, DeathReport, DrainEvent, DrainList, DrainPreview, DrainRequest, DrainStatus,
    MoveList, MoveReport, MoveRequest, Problem, ServerList, ServerRequest, ServerView, SessionList,
};
use crate::id::{BoardId, DrainId, ServerName, SessionId};

/// Describes what the gateway answers at its admin listener.
pub fn admin() -> OpenApi {
    let mut document = Document::default();
    describe_drains(&mut document);
    describe_boards(&mut document);
    document.call(Get, "/v1/moves", "listMoves", "The moves that ended of late.", |call| {
        let call = call.query_number(
            "limit",
            "At most so many, the latest; 1000 unless it is given.",
            Some(10_000),
        );
        refused(call.answer::<MoveList>(200, "By their end, the latest last."), []).end()
    });
    document.call(
        Get,
        "/v1/servers",
        "listServers",
        "Every server that is named.",
        |call| {
            refused(
                call.answer::<ServerList>(200, "In the order of the configuration, then of their naming."),
                [],
            )
            .end()
        },
    );
    document.call(Get, "/v1/servers/{name}", "viewServer", "One server.", |call| {
        refused(
            server(call).answer::<ServerView>(200, "The server as it is now."),
            [UnknownServer],
        )
        .end()
    });
    document.call(
        Put,
        "/v1/servers/{name}",
        "putServer",
        "Name a server, or change how it is named; kept over restarts and safe to repeat.",
        |call| {
            let call = server(call).body::<ServerRequest>();
            let call = call
                .answer::<ServerView>(200, "The server was named already, and is now as asked for.")
                .answer::<ServerView>(201, "The server is named, and is being asked how it is.");
            let kinds = [
                BadJson,
                BodyTooLarge,
                UnsupportedMediaType,
                ImpossibleServer,
                ServerConfigured,
                ServerInUse,
                RegistryUnavailable,
                Internal,
            ];
            refused(call, kinds).end()
        },
    );
    document.call(
        Delete,
        "/v1/servers/{name}",
        "removeServer",
        "Name a server no more; only one that was named by PUT, and that nothing needs.",
        |call| {
            let call = server(call).empty_answer(204, "It is named no more.");
            let kinds = [
                UnknownServer,
                ServerConfigured,
                ServerInUse,
                RegistryUnavailable,
                Internal,
            ];
            refused(call, kinds).end()
        },
    );
    for (verb, summary) in [
        (
            "cordon",
            "Close a server to new boards and as a drain's target; what it has stays. Kept over restarts.",
        ),
        (
            "uncordon",
            "Open a server to new boards again, also one that somebody had said to be dead.",
        ),
    ] {
        let path = format!("/v1/servers/{{name}}/{verb}");
        document.call(Post, &path, &format!("{verb}Server"), summary, |call| {
            let call = server(call).answer::<ServerView>(200, "The server as it is now.");
            refused(call, [UnknownServer, RegistryUnavailable, Internal]).end()
        });
    }
    document.call(
        Post,
        "/v1/servers/{name}/dead",
        "declareServerDead",
        "Say that a server's process is gone, so that its boards may be given to others.",
        |call| {
            let call = server(call).answer::<DeathReport>(200, "Its boards are being given to others.");
            refused(call, [UnknownServer, ServerAlive, RegistryUnavailable, Internal]).end()
        },
    );
    document.call(
        Post,
        "/v1/config/reload",
        "reloadConfig",
        "Read the configuration anew, as SIGHUP does.",
        |call| {
            let call = call.answer::<ConfigReloaded>(200, "What has changed, and what needs a restart.");
            refused(call, [ConfigInvalid, ShuttingDown]).end()
        },
    );
    document.finish_for_operators(
        "Handover admin API",
        "Drains, boards and moves. Later versions add fields and change none. It answers on the loopback interface or a Unix socket, elsewhere only to whoever has a token or a client certificate: of the scope read for GET, admin for the configuration, servers and sessions, and operate for all else.",
    )
}

fn describe_drains(document: &mut Document) {
    document.call(
        Post,
        "/v1/drains",
        "startDrain",
        "Move every board off some servers.",
        |call| {
            let call = call
                .header(
                    "Idempotency-Key",
                    "Makes the call safe to repeat: the same key and body find the same drain.",
                )
                .body::<DrainRequest>();
            let call = call.answer_with_location::<DrainStatus>(202, "The drain runs, or ran already.");
            refused(call, START_REFUSALS).end()
        },
    );
    document.call(
        Get,
        "/v1/drains",
        "listDrains",
        "Every drain that the gateway remembers.",
        |call| refused(call.answer::<DrainList>(200, "By id."), []).end(),
    );
    document.call(Get, "/v1/drains/{id}", "viewDrain", "How far a drain is.", |call| {
        let call = call
            .segment::<DrainId>("id", "The drain.")
            .answer::<DrainStatus>(200, "The drain as it is now.");
        refused(call, [UnknownDrain]).end()
    });
    document.call(
        Post,
        "/v1/plans",
        "planDrain",
        "What a drain would do, without doing it.",
        |call| {
            let call = call.body::<DrainRequest>();
            let call = call.answer::<DrainPreview>(200, "Nothing has begun.");
            let kinds = [
                BadJson,
                BodyTooLarge,
                UnsupportedMediaType,
                UnknownReference,
                ImpossibleDrain,
            ];
            refused(call, kinds).end()
        },
    );
    document.call(
        Put,
        "/v1/drains/{id}",
        "putDrain",
        "Move every board off some servers, under an id of the caller's: safe to repeat.",
        |call| {
            let call = call.segment::<DrainId>("id", "The drain.").body::<DrainRequest>();
            let call = call.answer_with_location::<DrainStatus>(202, "The drain runs, or ran already.");
            refused(call, START_REFUSALS).end()
        },
    );
    document.call(
        Get,
        "/v1/drains/{id}/events",
        "followDrain",
        "What happens to a drain, as server-sent events: `state`, `progress` and `move`, each with an `id` that \
         `Last-Event-ID` takes up again, and a `DrainEvent` as its data. The stream ends behind the last state.",
        |call| {
            let call = call
                .segment::<DrainId>("id", "The drain.")
                .query_number("after", "The id of the event that was seen last.", None)
                .event_stream::<DrainEvent>(200, "From the drain's state, or from behind the event that was named.")
                .empty_answer(
                    204,
                    "The drain has ended, and nothing came behind the event that was named.",
                );
            refused(call, [UnknownDrain]).end()
        },
    );
    for (verb, summary) in [
        (
            "pause",
            "Begin no more moves for now; those under way end as they would.",
        ),
        ("resume", "Go on after a pause."),
    ] {
        let path = format!("/v1/drains/{{id}}/{verb}");
        document.call(Post, &path, &format!("{verb}Drain"), summary, |call| {
            let call = call
                .segment::<DrainId>("id", "The drain.")
                .answer::<DrainStatus>(202, "It is taken in, or was before.");
            refused(call, [UnknownDrain, DrainEnded, RegistryUnavailable, ShuttingDown]).end()
        });
    }
    document.call(
        Post,
        "/v1/drains/{id}/undo",
        "undoDrain",
        "Stop the drain, and move what it moved back to where it was, while the sources keep that warm.",
        |call| {
            let call = call
                .segment::<DrainId>("id", "The drain.")
                .answer::<DrainStatus>(202, "It is being taken back, or has been.");
            let kinds = [
                UnknownDrain,
                UndoWindowOver,
                DrainConflict,
                TargetNotReady,
                ImpossibleDrain,
                UnknownReference,
                RegistryUnavailable,
                ShuttingDown,
                Internal,
            ];
            refused(call, kinds).end()
        },
    );
    document.call(
        Post,
        "/v1/drains/{id}/abort",
        "abortDrain",
        "Begin no more moves, and undo those that have not committed.",
        |call| {
            let call = call
                .segment::<DrainId>("id", "The drain.")
                .answer::<DrainStatus>(202, "The drain is being aborted, or had ended.");
            refused(call, [UnknownDrain, RegistryUnavailable, ShuttingDown]).end()
        },
    );
}

const START_REFUSALS: [ProblemType; 12] = [
    BadJson,
    BodyTooLarge,
    UnsupportedMediaType,
    UnknownReference,
    ImpossibleDrain,
    IdempotencyMismatch,
    DrainExists,
    DrainConflict,
    TargetNotReady,
    RegistryUnavailable,
    ShuttingDown,
    Internal,
];

fn describe_boards(document: &mut Document) {
    document.call(Get, "/v1/boards", "listBoards", "Open boards.", |call| {
        let call = call
            .query::<ServerName>("server", "Only those that this server owns.", Required::False)
            .query_number("limit", "At most so many; 1000 unless it is given.", Some(10_000))
            .query::<BoardId>(
                "after",
                "Only those behind this one: `next` of the page before.",
                Required::False,
            )
            .answer::<BoardList>(200, "By board id.");
        refused(call, [UnknownReference]).end()
    });
    document.call(Get, "/v1/boards/{id}", "viewBoard", "One board.", |call| {
        let call = board(call).answer::<BoardView>(200, "The board as it is now.");
        refused(call, [UnknownBoard, RegistryUnavailable, Internal]).end()
    });
    document.call(
        Get,
        "/v1/boards/{id}/sessions",
        "listSessions",
        "Who is on a board.",
        |call| {
            let call = board(call).answer::<SessionList>(200, "By their opening, the oldest first.");
            refused(call, [UnknownBoard, RegistryUnavailable, Internal]).end()
        },
    );
    document.call(
        Delete,
        "/v1/sessions/{id}",
        "closeSession",
        "Close one session with a close frame.",
        |call| {
            let call = call
                .segment::<SessionId>("id", "The session.")
                .query_close_code("code", "The close code; 1008 without it.")
                .empty_answer(204, "The close frame is on its way.");
            refused(call, [UnknownSession]).end()
        },
    );
    document.call(
        Post,
        "/v1/boards/{id}/move",
        "moveBoard",
        "Move one board, and wait until it is over.",
        |call| {
            let call = board(call).body::<MoveRequest>();
            let call = call.answer::<MoveReport>(200, "How it ended; `result` is `moved` or says why not.");
            let kinds = [
                BadJson,
                BodyTooLarge,
                UnsupportedMediaType,
                UnknownReference,
                UnknownBoard,
                BoardNotMovable,
                DrainConflict,
                TargetNotReady,
                RegistryUnavailable,
                Internal,
            ];
            refused(call, kinds).end()
        },
    );
}

fn server(call: Call<'_>) -> Call<'_> {
    call.segment::<ServerName>("name", "The server.")
}

fn board(call: Call<'_>) -> Call<'_> {
    call.segment::<BoardId>("id", "The board's id, percent-encoded as one segment.")
}

/// Adds the refusals of one call to those that every call knows.
fn refused<const N: usize>(call: Call<'_>, kinds: [ProblemType; N]) -> Call<'_> {
    let kinds = [
        InvalidField,
        Unauthorized,
        InsufficientScope,
        UnknownCertificate,
        ForbiddenHost,
        ForbiddenOrigin,
        Starting,
    ]
    .into_iter()
    .chain(kinds);
    call.refusals::<Problem, _>(kinds.map(|kind| (kind.status(), kind)))
}

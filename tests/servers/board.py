"""Whiteboards in memory, and the control contract: what the two Python servers share.

A server hands in each connection's messages one by one through `Boards.handle`; a message counts as handled when that
has returned. Without the contract a board is loaded at its first session and dropped with its last.
"""

import asyncio
import contextlib
import json
import secrets
import time

from store import FenceLost
from wire import Refused, board_of, fingerprint, log, recital, understand

HEADERS = {"Handover-Mode": "transparent", "Handover-Replay": "first=1;await"}
MESSAGE_BYTES_MAX = 16 * 1024 * 1024 + 1024
WELCOME_CHANGES_MAX = 200
ENDED_SESSIONS_KEPT_S = 30
ARRIVAL_S = 3
SLOW_S = 0.02


class Session:
    """One connection: what it was counted, and the queue that its writer empties."""

    def __init__(self, board, name, is_resumed):
        self.board, self.name, self.is_resumed = board, name, is_resumed
        self.user = None
        self.begun = self.handled = self.sent = 0
        self.queue = asyncio.Queue()
        self.ended_at = None

    def send(self, body, as_bytes=False):
        """Queues a data message; from here on it counts as sent."""
        if self.ended_at is None:
            text = json.dumps(body, separators=(",", ":"))
            self.sent += 1
            self.queue.put_nowait(text.encode() if as_bytes else text)

    def recite(self, parts):
        """Queues one message that the library is to send in parts."""
        if self.ended_at is None:
            self.sent += 1
            self.queue.put_nowait(parts)

    def close(self, code):
        self.queue.put_nowait(code)

    async def write(self, send, close):
        """Empties the queue into the library's `send` until there is a code to close with."""
        while not isinstance(item := await self.queue.get(), int):
            await send(item)
        await close(item)


class Board:
    def __init__(self, name):
        self.name = name
        self.role = "standby"
        self.generation = self.attempt = self.closed_attempt = self.revision = 0
        self.changes, self.last_seq = [], {}
        self.sessions, self.ended = {}, {}
        self.is_loaded = False
        self.limits = None  # of each session, while a freeze is under way or done
        self.freezing = None  # (attempt, task), so that a repeated call gets the same answer
        self.thawing = self.missing = None
        self.saving, self.loading = asyncio.Lock(), asyncio.Lock()
        self.changed = asyncio.Event()

    def touch(self):
        """Wakes all who wait for a change of counts or role."""
        self.changed.set()
        self.changed = asyncio.Event()

    def take(self, revision, author, seq, body):
        kept = json.loads(body)
        shown = {k: kept[k] for k in ("color", "points") if k in kept} if "points" in kept else {"bytes": kept["bytes"]}
        self.revision = max(self.revision, revision)
        self.last_seq[author] = max(self.last_seq.get(author, 0), seq)
        drawn = {"type": "drawn", "user": author, "seq": seq, "revision": revision, **shown}
        self.changes = [*self.changes[1 - WELCOME_CHANGES_MAX:], drawn]
        return drawn

    def others(self, session):
        return [other for other in self.sessions.values() if other is not session and other.user is not None]

    def may_begin(self, session):
        limit = None if self.limits is None else self.limits.get(session.name, 0)
        return self.role == "owner" and (limit is None or session.begun < limit)

    def is_through(self, session):
        return session.handled == session.begun and session.handled >= self.limits.get(session.name, 0)


class Boards:
    def __init__(self, options, store, incarnation):
        self.options, self.store, self.incarnation = options, store, incarnation
        self.boards = {}

    # -- sessions

    def admit(self, path, headers):
        """Refuses a handshake that is not for a board of ours."""
        name = board_of(path)
        if not self.options.contract:
            return name
        board, generation = self.boards.get(name), headers.get("Handover-Generation")
        if board is None or board.role != "owner" or board.limits is not None or str(board.generation) != generation:
            raise Refused("not-owner", f"{name} is not served here under generation {generation}")
        return name

    async def attach(self, path, headers):
        name = self.admit(path, headers)
        if not self.options.contract:
            board = self.boards.setdefault(name, Board(name))
            session = Session(board, secrets.token_hex(8), is_resumed=False)
            board.sessions[session.name] = session
            async with board.loading:
                if board.role == "standby":
                    await self.load(board)
                    board.role = "owner"
            return session
        board = self.boards[name]
        session = Session(board, headers["Handover-Session"], "Handover-From" in headers)
        board.ended.pop(session.name, None)
        board.sessions[session.name] = session
        return session

    def detach(self, session):
        board = session.board
        session.ended_at = time.monotonic()
        if board.sessions.get(session.name) is session:
            del board.sessions[session.name]
            oldest = session.ended_at - ENDED_SESSIONS_KEPT_S
            board.ended = {name: old for name, old in board.ended.items() if old.ended_at > oldest}
            board.ended[session.name] = session
        # Who leaves while the board is frozen leaves by the move, and nobody is told.
        if board.role == "owner" and board.limits is None:
            self.announce(board, session, "left")
        if not self.options.contract and not board.sessions:
            self.boards.pop(board.name, None)
        board.touch()

    def announce(self, board, session, kind):
        if session.user is not None:
            for other in board.others(session):
                other.send({"type": kind, "user": session.user})

    async def handle(self, session, message):
        """Handles one data message to its end. False where the board is no longer ours: the connection ends."""
        board = session.board
        while not board.may_begin(session):
            if board.role == "gone":
                return False
            await board.changed.wait()
        session.begun += 1
        if self.options.slow:
            await asyncio.sleep(SLOW_S)
        try:
            await self.apply(board, session, understand(message), message)
        except FenceLost:
            self.drop(board, "its fence has been taken")
            return False
        session.handled += 1
        board.touch()
        return True

    async def apply(self, board, session, body, message):
        as_bytes = isinstance(message, bytes)
        if body.get("type") == "hello":
            is_news = session.user is None and not session.is_resumed
            session.user = body["user"]
            if is_news:
                self.announce(board, session, "joined")
            welcome = {"type": "welcome", "board": board.name, "revision": board.revision,
                       "users": len(board.others(session)) + 1, "server": self.options.name,
                       "release": self.options.release}
            welcome |= {"resumed": True} if session.is_resumed else {"changes": board.changes}
            session.send(welcome, as_bytes)
            return
        if session.user is None:
            session.close(1008)
            return
        if body.get("type") == "recite":
            session.recite(recital(body))
            return
        await asyncio.sleep(self.options.save_time)
        async with board.saving:
            if body.get("type") == "draw":
                seq, kept = body["seq"], {"color": body["color"], "points": body["points"]}
                if "pad" in body:
                    kept["pad"] = fingerprint(body["pad"])
            else:
                seq, kept = board.last_seq.get(session.user, 0) + 1, fingerprint(message)
            kept = json.dumps(kept, separators=(",", ":"))
            if self.options.contract:
                revision = await self.store.save(
                    board.name, board.revision + 1, session.user, seq, board.generation, kept)
            else:
                revision = await self.store.save_unfenced(board.name, session.user, seq, kept)
            session.send({"type": "saved", "seq": seq, "revision": revision}, as_bytes)
            if revision > board.revision:
                drawn = board.take(revision, session.user, seq, kept)
                for other in board.others(session):
                    other.send(drawn)

    async def load(self, board):
        if not board.is_loaded:
            await asyncio.sleep(self.options.load_time)
        for row in await self.store.changes_behind(board.name, board.revision):
            board.take(row["revision"], row["author"], row["seq"], row["body"])
        board.is_loaded = True

    def drop(self, board, why):
        log(f"{board.name} is dropped: {why}")
        board.role = "gone"
        if self.boards.get(board.name) is board:
            del self.boards[board.name]
        for session in board.sessions.values():
            session.close(1012)
        board.touch()

    # -- the contract

    def known(self, name, call):
        """Finds the board of a call and refuses what is older than what the board has seen."""
        board = self.boards.get(name)
        if board is None:
            raise Refused("unknown-board", f"{name} is not in memory")
        if call["generation"] < board.generation:
            raise Refused("stale-generation", f"{name} is at {board.generation}", fence=board.generation)
        if call["attempt"] < board.attempt:
            raise Refused("stale-attempt", f"{name} is at attempt {board.attempt}")
        return board

    async def prepare(self, name, call):
        board = self.boards.get(name)
        if board is not None and board.role != "standby" and call["generation"] > board.generation:
            self.drop(board, "another server has owned it since")
        board = self.known(name, call) if name in self.boards else self.boards.setdefault(name, Board(name))
        if board.role != "standby":
            raise Refused("stale-generation", f"{name} is {board.role} here", fence=board.generation)
        board.generation, board.attempt = call["generation"], call["attempt"]
        async with board.loading:
            await self.load(board)
        return {"revision": board.revision}

    async def freeze(self, name, call):
        board = self.known(name, call)
        if call["attempt"] <= board.closed_attempt:
            raise Refused("stale-attempt", f"{name}: attempt {board.closed_attempt} is closed")
        if call["generation"] != board.generation or board.role not in ("owner", "frozen"):
            raise Refused("not-owner", f"{name} is {board.role} under generation {board.generation}")
        if board.freezing is None or board.freezing[0] != call["attempt"]:
            board.attempt = call["attempt"]
            board.freezing = (call["attempt"], asyncio.create_task(self.freeze_once(board, call)))
        return await asyncio.shield(board.freezing[1])

    async def freeze_once(self, board, call):
        limits = call["sessions"]
        self.thaw_later(board, call["deadline_ms"] / 1000, call["attempt"])
        board.limits = dict(limits)
        board.touch()
        for session in list(board.sessions.values()):
            if session.name not in limits:
                session.close(1012)
        # Half of the time is for waiting; the other half belongs to the commit.
        waiting_until = time.monotonic() + call["deadline_ms"] / 2000
        while self.is_under_way(board, call) and not all(map(board.is_through, board.sessions.values())):
            if time.monotonic() > waiting_until:
                # Messages that have not come by now were lost on the way: whoever comes later is refused.
                for session in board.sessions.values():
                    board.limits[session.name] = min(board.limits.get(session.name, 0), session.begun)
                waiting_until = float("inf")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(board.changed.wait(), 0.05)
        if board.role == "gone":
            raise Refused("not-owner", f"{board.name} was lost while it was frozen")
        if not self.is_under_way(board, call):
            raise Refused("stale-attempt", f"{board.name}: the attempt was closed meanwhile")
        board.role = "frozen"
        counted = {**board.ended, **board.sessions}
        handled = {name: counted[name].handled if name in counted else 0 for name in limits}
        answer = {"revision": board.revision,
                  "sent": {name: counted[name].sent for name in limits if name in counted},
                  "short": {name: handled[name] for name in limits if handled[name] < limits[name]},
                  "checkpoint": {"users": {name: counted[name].user for name in limits if name in counted}}}
        return answer

    @staticmethod
    def is_under_way(board, call):
        return board.freezing is not None and board.freezing[0] == call["attempt"] and board.role != "gone"

    async def thaw(self, name, call):
        board = self.known(name, call)
        if call["generation"] != board.generation or board.role not in ("owner", "frozen"):
            raise Refused("not-owner", f"{name} is {board.role} under generation {board.generation}")
        if not await self.keeps_fence(board):
            raise Refused("stale-generation", f"{name} has gone to another server")
        self.known(name, call)
        board.attempt = call["attempt"]
        self.unfreeze(board, call["attempt"])
        for gone in call.get("gone", []):
            if gone in board.ended:
                self.announce(board, board.ended[gone], "left")
        return {"revision": board.revision}

    def unfreeze(self, board, attempt):
        board.closed_attempt = max(board.closed_attempt, attempt)
        board.role, board.limits, board.freezing = "owner", None, None
        if board.thawing is not None:
            board.thawing.cancel()
            board.thawing = None
        board.touch()

    async def keeps_fence(self, board):
        """Drops a board whose fence somebody else has taken; returns whether we still own it."""
        generation = board.generation
        fence = await self.store.fence(board.name)
        is_same = self.boards.get(board.name) is board and board.generation == generation
        if is_same and fence != (generation, self.store.owner):
            self.drop(board, f"its fence is {fence}")
        return is_same and board.role != "gone"

    async def watch_fences(self):
        """Finds boards that went elsewhere while this process stood still: nobody tells us of those."""
        while True:
            await asyncio.sleep(2)
            for board in [board for board in self.boards.values() if board.role in ("owner", "frozen")]:
                await self.keeps_fence(board)

    def thaw_later(self, board, seconds, attempt):
        """Thaws without word from the gateway, but only after reading that the fence is still ours."""
        async def thaw():
            await asyncio.sleep(seconds)
            is_ours = await self.keeps_fence(board)
            board.thawing = None
            if is_ours and board.limits is not None:
                log(f"{board.name} thaws itself")
                self.unfreeze(board, attempt)

        if board.thawing is not None:
            board.thawing.cancel()
        board.thawing = asyncio.create_task(thaw())

    async def activate(self, name, call):
        if name in self.boards and self.boards[name].generation < call["generation"]:
            if self.boards[name].role != "standby":
                self.drop(self.boards[name], "it begins a new term here")
        board = self.known(name, call) if name in self.boards else self.boards.setdefault(name, Board(name))
        async with board.loading:
            if (board.role, board.generation) == ("owner", call["generation"]):
                return {"revision": board.revision}
            if board.role != "standby":
                raise Refused("stale-generation", f"{name} is {board.role} here", fence=board.generation)
            board.attempt = call["attempt"]
            if not board.is_loaded:
                await self.load(board)
            is_ours, (fence, owner) = await self.store.take_fence(name, call["generation"])
            if not is_ours:
                server, _, incarnation = (owner or "").partition("/")
                raise Refused("stale-generation", f"the fence is {fence}", fence=fence,
                              fence_owner={"server": server, "incarnation": incarnation})
            await self.load(board)
            expected = call.get("revision")
            if expected is not None and board.revision < expected:
                raise Refused("revision-missing", f"{name} ends at {board.revision} before {expected}")
            if expected is not None and board.revision > expected:
                log(f"ALARM {name}: {board.revision} is more than the {expected} that the source had saved")
            board.generation, board.role = call["generation"], "owner"
        users = (call.get("checkpoint") or {}).get("users", {})
        expected = {name: users.get(name) for name in call.get("sessions", [])}
        board.missing = asyncio.create_task(self.miss(board, expected))
        return {"revision": board.revision}

    async def miss(self, board, expected):
        """Tells the others of the sessions that were expected from the source and did not come."""
        await asyncio.sleep(ARRIVAL_S)
        for name, user in expected.items():
            if user is not None and name not in board.sessions and name not in board.ended and board.role == "owner":
                ghost = Session(board, name, is_resumed=False)
                ghost.user = user
                self.announce(board, ghost, "left")

    async def forget(self, name, call):
        if name not in self.boards:
            return
        board = self.known(name, call)
        if board.role not in ("standby", "frozen"):
            raise Refused("not-frozen", f"{name} is served here")
        if board.thawing is not None:
            board.thawing.cancel()
        self.drop(board, "the gateway is done with it")

    def report(self):
        owned = sum(board.role == "owner" for board in self.boards.values())
        return {"name": self.options.name, "incarnation": self.incarnation, "release": self.options.release,
                "capabilities": ["transparent"], "ready": True, "open_boards": owned}

    def page(self, after, limit):
        names = sorted((name for name in self.boards if name.encode() > after.encode()), key=str.encode)
        reports = [{"board": name, "generation": board.generation, "role": board.role, "revision": board.revision,
                    "sessions": len(board.sessions)} for name in names[:limit] for board in [self.boards[name]]]
        page = {"incarnation": self.incarnation, "boards": reports}
        return page | {"next": names[limit - 1]} if len(names) > limit else page

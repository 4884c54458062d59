"""The contract's calls over HTTP, the flags that all servers share, and how a server starts."""

import argparse
import asyncio
import hmac
import json
import secrets
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, unquote, urlsplit

from aiohttp import web

from board import Boards
from store import Store
from wire import Refused

BOARDS_PER_PAGE_MAX = 1000
BODY_BYTES_MAX = 4 * 1024 * 1024


class Control:
    def __init__(self, boards, token):
        self.boards, self.token = boards, token

    async def answer(self, request):
        """Answers any request: paths are split by hand, for a board's segment may hold an encoded slash."""
        try:
            told = request.headers.get("Authorization", "")
            if self.token and not hmac.compare_digest(told.encode(), f"Bearer {self.token}".encode()):
                return web.json_response({"title": "no such token", "status": 401}, status=401)
            body = await self.call(request)
            return web.Response(status=204) if body is None else web.json_response(body)
        except Refused as refused:
            problem = json.dumps(refused.problem)
            return web.Response(status=refused.status, text=problem, content_type="application/problem+json")
        except (KeyError, TypeError, ValueError) as error:
            return web.json_response({"title": "malformed", "status": 400, "detail": repr(error)}, status=400)

    async def call(self, request):
        url = urlsplit(request.raw_path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        boards = self.boards
        match (request.method, url.path.split("/")[1:]):
            case ("GET", ["handover", "v1", "server"]):
                return boards.report()
            case ("GET", ["handover", "v1", "boards"]):
                limit = min(int(query.get("limit", BOARDS_PER_PAGE_MAX)), BOARDS_PER_PAGE_MAX)
                return boards.page(query.get("after", ""), limit)
            case ("PUT", ["handover", "v1", "boards", board]):
                return await boards.prepare(decoded(board), await request.json())
            case ("DELETE", ["handover", "v1", "boards", board]):
                numbers = {key: int(query[key]) for key in ("generation", "attempt")}
                return await boards.forget(decoded(board), numbers)
            case ("POST", ["handover", "v1", "boards", board, ("freeze" | "activate" | "thaw") as verb]):
                return await getattr(boards, verb)(decoded(board), await request.json())
        raise web.HTTPNotFound


def decoded(segment):
    return unquote(segment, errors="strict")


@asynccontextmanager
async def serving(library):
    """Reads the flags, opens the database and the control URL; yields the boards and what to call when listening."""
    options = flags(library)
    incarnation = secrets.token_hex(8)
    store = await Store.open(options.database, f"{options.name}/{incarnation}")
    boards = Boards(options, store, incarnation)
    control = None
    if options.contract:
        token = open(options.control_token_file).read().strip() if options.control_token_file else None
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_route("*", "/{path:.*}", Control(boards, token).answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        control = await listen(runner, options.control_listen)
        boards.watching = asyncio.create_task(boards.watch_fences())

    def ready(listening):
        told = {"listening": listening, "control": control}
        print(json.dumps({key: value for key, value in told.items() if value}), flush=True)

    yield boards, options, ready


async def listen(runner, address):
    """Serves an aiohttp application at `address`; returns where that is, a port of 0 being the kernel's choice."""
    host, port = split(address)
    await web.TCPSite(runner, host, port, reuse_address=True).start()
    host, port = runner.addresses[0][:2]
    return f"{host}:{port}"


def split(address):
    host, _, port = address.rpartition(":")
    return host, int(port)


def flags(library):
    parser = argparse.ArgumentParser(description=f"A whiteboard server on {library}.")
    parser.add_argument("--name", required=True)
    parser.add_argument("--release", required=True)
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--control-listen", default="127.0.0.1:0")
    parser.add_argument("--control-token-file")
    parser.add_argument("--database", required=True, help="URL of a PostgreSQL database")
    parser.add_argument("--load-time", type=seconds, default=0, help="how long a board takes to load: 5s, 20ms")
    parser.add_argument("--save-time", type=seconds, default=0, help="how long a change takes to save")
    parser.add_argument("--slow", action="store_true", help="each message's handler awaits 20 ms")
    parser.add_argument("--no-contract", dest="contract", action="store_false")
    return parser.parse_args()


def seconds(text):
    return float(text[:-2]) / 1000 if text.endswith("ms") else float(text.removesuffix("s"))


def run(main):
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass

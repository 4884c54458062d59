"""A whiteboard server on Python `aiohttp`: the handler pulls one message after the other from the connection."""

import asyncio

from aiohttp import WSMsgType, web

from board import HEADERS, MESSAGE_BYTES_MAX
from control import listen, run, serving
from wire import Refused


async def main():
    async with serving("aiohttp") as (boards, options, ready):

        async def talk(request):
            try:
                session = await boards.attach(request.raw_path, request.headers)
            except Refused as refused:
                return web.Response(status=refused.status, text=f"{refused}\n")
            socket = web.WebSocketResponse(max_msg_size=MESSAGE_BYTES_MAX)
            if options.contract:
                socket.headers.update(HEADERS)
            try:
                await socket.prepare(request)
                writer = asyncio.create_task(write(session, socket))
                async for message in socket:
                    if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                        break
                    if not await boards.handle(session, message.data):
                        break
                writer.cancel()
                await socket.close(code=1012)
            finally:
                boards.detach(session)
            return socket

        app = web.Application()
        app.router.add_get("/{path:.*}", talk)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        ready(await listen(runner, options.listen))
        await asyncio.Event().wait()


async def write(session, socket):
    async def send(item):
        if isinstance(item, list):  # the library sends no fragments
            item = item[0][:0].join(item)
        await (socket.send_bytes(item) if isinstance(item, bytes) else socket.send_str(item))

    async def close(code):
        await socket.close(code=code)

    try:
        await session.write(send, close)
    except ConnectionError:
        pass


run(main)

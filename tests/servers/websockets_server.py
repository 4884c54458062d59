"""A whiteboard server on Python `websockets`: the library reads ahead into a queue of its own, and the handler comes
to each message later. A Pong, a Close reply, even EOF says nothing about what has been handled."""

import asyncio
from http import HTTPStatus

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from board import HEADERS, MESSAGE_BYTES_MAX
from control import run, serving, split
from wire import Refused


async def main():
    async with serving("websockets") as (boards, options, ready):

        def check(connection, request):
            try:
                boards.admit(request.path, request.headers)
            except Refused as refused:
                return connection.respond(HTTPStatus(refused.status), f"{refused}\n")

        def answer(_connection, _request, response):
            if options.contract and response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
                response.headers.update(HEADERS)

        async def talk(socket):
            try:
                session = await boards.attach(socket.request.path, socket.request.headers)
            except Refused:
                return await socket.close(1012)  # frozen since the handshake
            writer = asyncio.create_task(write(session, socket))
            try:
                async for message in socket:
                    if not await boards.handle(session, message):
                        break
            except ConnectionClosed:
                pass
            finally:
                boards.detach(session)
                writer.cancel()
            await socket.close(1012)

        host, port = split(options.listen)
        async with serve(talk, host, port, process_request=check, process_response=answer,
                         max_size=MESSAGE_BYTES_MAX) as server:
            host, port = server.sockets[0].getsockname()[:2]
            ready(f"{host}:{port}")
            await server.serve_forever()


async def write(session, socket):
    async def send(item):
        await socket.send(fragments(item) if isinstance(item, list) else item)

    async def fragments(parts):
        yield parts[0]
        for part in parts[1:]:
            await socket.ping()
            yield part

    try:
        await session.write(send, socket.close)
    except ConnectionClosed:
        pass


run(main)

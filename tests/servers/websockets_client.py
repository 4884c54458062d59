"""A user on Python `websockets`: compresses with context takeover, and sends fragments where asked to."""

import asyncio

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from client import parts_of, run, tell


async def talk(client, options):
    async with connect(options.url, max_size=None) as socket:
        tell({"type": "open", "extensions": socket.response.headers.get("Sec-WebSocket-Extensions")})

        async def send(message):
            parts = parts_of(message, options.fragments)
            await socket.send(parts if options.fragments > 1 else message)

        async def hear():
            try:
                async for message in socket:
                    client.hear(message)
            except ConnectionClosed:
                pass  # with another code than 1000 or 1001
            client.end(socket.close_code)

        hearing = asyncio.create_task(hear())
        try:
            await client.draw(send)
        except ConnectionClosed:
            pass
        await socket.close()
        await hearing


run(talk)

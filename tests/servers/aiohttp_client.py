"""A user on Python `aiohttp`: compresses with context takeover. The library sends no fragments."""

import asyncio

import aiohttp

from client import run, tell


async def talk(client, options):
    async with aiohttp.ClientSession() as http, http.ws_connect(options.url, compress=15, max_msg_size=0) as socket:
        tell({"type": "open", "extensions": socket._response.headers.get("Sec-WebSocket-Extensions")})

        async def send(message):
            await (socket.send_bytes(message) if options.binary else socket.send_str(message))

        async def hear():
            async for message in socket:
                if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    break
                client.hear(message.data)
            client.end(socket.close_code)

        hearing = asyncio.create_task(hear())
        try:
            await client.draw(send)
        except ConnectionError:
            pass
        await socket.close()
        await hearing


run(talk)

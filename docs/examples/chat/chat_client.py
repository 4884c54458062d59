"""Says something every half second, and comes back when it is told to."""

import asyncio, json, sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

USER = sys.argv[1]


async def say(socket, numbers):
    for number in numbers:
        await socket.send(f"hello {number}")
        await asyncio.sleep(0.5)


async def main():
    numbers = iter(range(1, 21))
    while True:
        async with connect("ws://127.0.0.1:8080/rooms/lobby/ws") as socket:
            port = socket.local_address[1]
            await socket.send(json.dumps({"join": USER}))
            saying = asyncio.create_task(say(socket, numbers))
            saying.add_done_callback(lambda _: asyncio.ensure_future(socket.close()))
            try:
                async for message in socket:
                    said = json.loads(message)
                    if said.get("type") == "reconnect":  # the gateway's `command`: stop sending, close, come back
                        saying.cancel()
                        continue
                    what = f"{len(said['history'])} lines so far" if "history" in said else said["line"]
                    print(f"port {port} <- {said['server']}: {what}", flush=True)
            except ConnectionClosed:
                pass
            print(f"port {port} closed: {socket.close_code} {socket.close_reason}", flush=True)
            if socket.close_code == 1000 and not saying.cancelled():
                return
            saying.cancel()


asyncio.run(main())

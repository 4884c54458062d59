"""A chat server like many: rooms in memory, saved a moment later. It knows nothing of Handover.

Needs: pip install websockets. Run: python3 chat_server.py NAME PORT
"""

import asyncio, json, pathlib, sys

from websockets.asyncio.server import broadcast, serve

NAME, PORT = sys.argv[1], int(sys.argv[2])
SAVED = pathlib.Path("target/rooms")
rooms = {}  # name -> {"lines": [...], "sockets": {...}}


async def save(name):
    await asyncio.sleep(0.2)
    (SAVED / f"{name}.json").write_text(json.dumps(rooms[name]["lines"]))


async def chat(socket):
    name = socket.request.path.split("/")[2]  # /rooms/{name}/ws
    file = SAVED / f"{name}.json"
    if name not in rooms:
        rooms[name] = {"lines": json.loads(file.read_text()) if file.exists() else [], "sockets": set()}
    room = rooms[name]
    user = json.loads(await socket.recv())["join"]
    await socket.send(json.dumps({"server": NAME, "history": room["lines"]}))
    room["sockets"].add(socket)
    try:
        async for text in socket:
            room["lines"].append(f"{user}: {text}")
            asyncio.create_task(save(name))
            broadcast(room["sockets"], json.dumps({"server": NAME, "line": room["lines"][-1]}))
    finally:
        room["sockets"].discard(socket)
        if not room["sockets"]:
            await save(name)
            if not room["sockets"]:
                rooms.pop(name, None)


async def main():
    SAVED.mkdir(parents=True, exist_ok=True)
    async with serve(chat, "127.0.0.1", PORT) as server:
        await server.serve_forever()


asyncio.run(main())

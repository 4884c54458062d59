"""Draws through a gateway over one WebSocket and says who answers. Needs: pip install websockets"""

import asyncio, json, websockets

async def draw(socket):
    await socket.send(json.dumps({"type": "hello", "user": "ada"}))
    for number in range(1, 13):
        stroke = {"type": "draw", "seq": number, "color": "#e33", "points": [[number, number]]}
        await socket.send(json.dumps(stroke))
        await asyncio.sleep(0.5)
    await socket.close()

async def main():
    async with websockets.connect("ws://127.0.0.1:8080/boards/sketch/ws") as socket:
        port = socket.local_address[1]
        drawing = asyncio.create_task(draw(socket))
        async for message in socket:
            said = json.loads(message)
            if said["type"] == "welcome":
                print(f"port {port}: welcome from {said['server']}, release {said['release']}", flush=True)
            elif said["type"] == "saved":
                print(f"port {port}: stroke {said['seq']} saved", flush=True)
        print(f"port {port}: closed with {socket.close_code}", flush=True)

asyncio.run(main())

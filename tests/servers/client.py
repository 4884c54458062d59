"""A user of the whiteboard, for clients on Python libraries: draws at an interval and prints all it hears, one JSON
object a line, until SIGTERM; then it waits for what is still to be acknowledged, leaves, and ends."""

import argparse
import asyncio
import json
import random
import signal

PATIENCE_S = 10


class Client:
    def __init__(self, options):
        self.options = options
        self.sent, self.saved = 0, set()
        self.welcomed, self.told, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        # The same letters in each message, and none that repeat within one: only a compressor that kept its context
        # makes the second message short.
        letters = random.Random(options.user)
        self.pad = "".join(letters.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=options.pad))

    async def draw(self, send):
        """Says hello, then draws; `send` takes one whole message."""
        await send(self.encoded({"type": "hello", "user": self.options.user}))
        await self.wait(self.welcomed)
        while not self.told.is_set() and not self.ended.is_set():
            self.sent += 1
            body = {"type": "draw", "seq": self.sent, "color": "#e33", "points": [[self.sent, 1]], "pad": self.pad}
            await send(self.encoded(body))
            await asyncio.sleep(self.options.interval)
        waiting = 0
        while len(self.saved) < self.sent and not self.ended.is_set() and waiting < PATIENCE_S:
            await asyncio.sleep(0.01)
            waiting += 0.01

    def encoded(self, body):
        text = json.dumps(body, separators=(",", ":"))
        return text.encode() if self.options.binary else text

    async def wait(self, event):
        ended = asyncio.create_task(self.ended.wait())
        await asyncio.wait({ended, asyncio.create_task(event.wait())}, return_when=asyncio.FIRST_COMPLETED)

    def hear(self, message):
        body = json.loads(message)
        if body["type"] == "welcome":
            self.welcomed.set()
            body.pop("changes", None)
        if body["type"] == "saved":
            self.saved.add(body["seq"])
        tell(body)

    def end(self, code):
        if not self.ended.is_set():
            self.ended.set()
            tell({"type": "closed", "code": code, "sent": self.sent, "saved": len(self.saved)})


def tell(body):
    print(json.dumps(body), flush=True)


def run(talk):
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--interval", type=float, default=0.02, help="seconds between changes")
    parser.add_argument("--pad", type=int, default=1000, help="letters of padding in each change")
    parser.add_argument("--fragments", type=int, default=1, help="fragments of each message")
    parser.add_argument("--binary", action="store_true")
    options = parser.parse_args()

    async def main():
        client = Client(options)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, client.told.set)
        await talk(client, options)

    asyncio.run(main())


def parts_of(message, count):
    size = max(1, -(-len(message) // count))
    return [message[start:start + size] for start in range(0, len(message), size)]

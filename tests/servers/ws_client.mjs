// A user on node `ws`: compresses with context takeover, and sends fragments where asked to. As client.py beside it.

import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import WebSocket from "ws";

const PATIENCE_MS = 10_000;

const { values: options } = parseArgs({
  options: {
    url: { type: "string" },
    user: { type: "string" },
    interval: { type: "string", default: "0.02" },
    pad: { type: "string", default: "1000" },
    fragments: { type: "string", default: "1" },
    binary: { type: "boolean", default: false },
  },
});
const letters = "abcdefghijklmnopqrstuvwxyz0123456789";
const pad = Array.from({ length: Number(options.pad) }, () => letters[Math.floor(Math.random() * 36)]).join("");
const saved = new Set();
let [sent, isTold, isEnded] = [0, false, false];
process.on("SIGTERM", () => (isTold = true));

const socket = new WebSocket(options.url, { perMessageDeflate: { threshold: 0 }, maxPayload: 0 });
socket.on("open", async () => {
  tell({ type: "open", extensions: socket.extensions });
  send({ type: "hello", user: options.user });
});
socket.on("message", (data) => {
  const { changes, ...body } = JSON.parse(data);
  tell(body);
  if (body.type === "welcome" && sent === 0) draw();
  if (body.type === "saved") saved.add(body.seq);
});
socket.on("error", (error) => process.stderr.write(`${error.stack}\n`));
socket.on("close", (code) => {
  isEnded = true;
  tell({ type: "closed", code, sent, saved: saved.size });
});

async function draw() {
  while (!isTold && !isEnded) {
    sent += 1;
    send({ type: "draw", seq: sent, color: "#e33", points: [[sent, 1]], pad });
    await sleep(Number(options.interval) * 1000);
  }
  const deadline = Date.now() + PATIENCE_MS;
  while (saved.size < sent && !isEnded && Date.now() < deadline) await sleep(10);
  socket.close(1000);
}

function send(body) {
  const text = JSON.stringify(body);
  const size = Math.ceil(text.length / Number(options.fragments));
  for (let start = 0; start < text.length; start += size) {
    const fin = start + size >= text.length;
    socket.send(text.slice(start, start + size), { fin, binary: options.binary, compress: true });
  }
}

function tell(body) {
  process.stdout.write(`${JSON.stringify(body)}\n`);
}

// A whiteboard server on node `ws`: each message is an event, and the handler awaits. The library has answered a Ping
// or a Close long before the handler comes to the messages ahead of it.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { admit, attach, detach, handle } from "./board.mjs";
import { control } from "./control.mjs";
import { hasContract, log, options } from "./flags.mjs";
import { Refused } from "./wire.mjs";

const MESSAGE_BYTES_MAX = 16 * 1024 * 1024 + 1024;

const [refusedText, refusedStatus] = options.refuse?.split(":") ?? [];
const lastProtocolFor = options["last-protocol-for"];
const pongAfter = options["pong-after"];

const sockets = new WebSocketServer({
  noServer: true,
  autoPong: pongAfter === undefined,
  handleProtocols: (protocols, request) =>
    [...protocols].at(lastProtocolFor && request.url.includes(lastProtocolFor) ? -1 : 0),
  perMessageDeflate: { threshold: 0 },
  maxPayload: MESSAGE_BYTES_MAX,
});
if (hasContract) {
  sockets.on("headers", (headers) => headers.push("Handover-Mode: transparent", "Handover-Replay: first=1;await"));
}
const traffic = createServer((_request, response) => response.writeHead(426).end());
traffic.on("upgrade", (request, socket, head) => {
  if (refusedText && request.url.includes(refusedText)) {
    return socket.end(`HTTP/1.1 ${refusedStatus} Refused\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
  }
  try {
    const name = admit(request.url, request.headers);
    // Without an await in between: whoever is admitted is counted by the next freeze.
    sockets.handleUpgrade(request, socket, head, (open) => talk(open, attach(open, request.headers, name)));
  } catch (error) {
    const status = error instanceof Refused ? error.status : 400;
    socket.end(`HTTP/1.1 ${status} Refused\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
  }
});

// One after the other, each awaited: what has arrived waits here while its sender's Ping is long answered.
function talk(socket, session) {
  const queue = (work) => {
    session.last = session.last.then(work).catch((error) => {
      log(`${session.name}: ${error.stack}`);
      socket.close(1011);
    });
  };
  socket.on("error", (error) => log(`${session.name}: ${error.message}`));
  socket.on("message", (data, isBinary) => {
    if (options["one-at-a-time"] && session.owed > 0) return socket.close(1008);
    session.waiting += 1;
    session.owed += 1;
    queue(async () => {
      await handle(session, data, isBinary);
      session.waiting -= 1;
      sayIdle(session);
    });
  });
  if (pongAfter !== undefined) {
    let answering;
    socket.on("ping", (data) => {
      clearTimeout(answering);
      answering = setTimeout(() => {
        session.send({ type: "answering", ping: data.toString("latin1") });
        socket.pong(data);
      }, Number(pongAfter));
    });
  }
  socket.on("close", () => queue(() => detach(session)));
}

function sayIdle(author) {
  const all = [...author.board.sessions.values()];
  if (options.idle === undefined || all.some((session) => session.waiting > 0)) return;
  for (const session of options.idle === "everyone" ? all : [author]) session.send({ type: "idle" });
}

function listen(server, address) {
  const [, host, port] = address.match(/^(.*):(\d+)$/);
  return new Promise((done, failed) => {
    server.on("error", failed);
    server.listen(Number(port), host, () => done(`${server.address().address}:${server.address().port}`));
  });
}

const told = { listening: await listen(traffic, options.listen) };
if (hasContract) {
  const file = options["control-token-file"];
  told.control = await listen(control(file && readFileSync(file, "utf8").trim()), options["control-listen"]);
}
process.stdout.write(`${JSON.stringify(told)}\n`);

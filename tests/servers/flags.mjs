// The flags of a node server: the same as those of the Python ones, and habits that only this one has.

import { parseArgs } from "node:util";

export const { values: options } = parseArgs({
  options: {
    name: { type: "string" },
    release: { type: "string" },
    listen: { type: "string", default: "127.0.0.1:0" },
    "control-listen": { type: "string", default: "127.0.0.1:0" },
    "control-token-file": { type: "string" },
    database: { type: "string" },
    "load-time": { type: "string", default: "0s" },
    "save-time": { type: "string", default: "0s" },
    slow: { type: "boolean", default: false },
    "no-contract": { type: "boolean", default: false },
    // "user=bob:401": handshakes whose URL has that text are refused with that status.
    refuse: { type: "string" },
    // "user=bob": such handshakes get the last subprotocol that they offer, all others the first.
    "last-protocol-for": { type: "string" },
    // A message that comes before the one ahead of it has been answered ends the connection.
    "one-at-a-time": { type: "boolean", default: false },
    // "everyone" or "author": who is told {"type":"idle"} once nothing of the board waits any more.
    idle: { type: "string" },
    // Pings are answered so many milliseconds late, and of several only the latest (RFC 6455 section 5.5.3); who pinged is
    // told {"type":"answering","ping":…} before the Pong, which somebody else can give as well.
    "pong-after": { type: "string" },
  },
});
export const hasContract = !options["no-contract"];
export const loadTime = milliseconds(options["load-time"]);
export const saveTime = milliseconds(options["save-time"]);

export function log(text) {
  process.stderr.write(`${text}\n`);
}

function milliseconds(text) {
  return text.endsWith("ms") ? parseFloat(text) : parseFloat(text) * 1000;
}

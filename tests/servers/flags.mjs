// The flags of a node server: the same as those of the Python ones.

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

// What comes in over the wire, read; and what is refused: as wire.py has it.

import { createHash } from "node:crypto";

export class Refused extends Error {
  constructor(type, detail, more = {}) {
    super(detail);
    this.status = { "unknown-board": 404, busy: 503 }[type] ?? 409;
    this.problem = { type, status: this.status, title: type.replaceAll("-", " "), detail, ...more };
  }
}

export function boardOf(path) {
  const parts = path.split("?")[0].split("/");
  if (parts.length !== 4 || parts[1] !== "boards" || parts[3] !== "ws" || !parts[2]) {
    throw new Refused("unknown-board", `no board at ${path}`);
  }
  return decodeURIComponent(parts[2]);
}

export function understand(data) {
  const needed = {
    hello: ["user"],
    draw: ["seq", "color", "points"],
    recite: ["bytes", "binary", "fragments"],
  };
  try {
    const body = JSON.parse(data);
    return needed[body?.type]?.every((key) => key in body) ? body : {};
  } catch {
    return {};
  }
}

// What wire.py recites.
export function recital({ bytes, fragments }) {
  const round = Buffer.from(Array.from({ length: 89 }, (_, place) => 33 + place));
  const content = Buffer.alloc(bytes, round);
  const size = Math.max(1, Math.ceil(bytes / fragments));
  const count = Math.ceil(bytes / size);
  return Array.from({ length: count }, (_, place) => content.subarray(place * size, (place + 1) * size));
}

export function fingerprint(data) {
  return { bytes: data.length, sha1: createHash("sha1").update(data).digest("hex") };
}

// The contract's calls over HTTP.

import { createHash, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import { activate, forget, freeze, page, prepare, report, thaw } from "./board.mjs";
import { Refused } from "./wire.mjs";

const CONTROL_BYTES_MAX = 4 * 1024 * 1024;
const BOARDS_PER_PAGE_MAX = 1000;

class NoSuchCall extends Error {
  status = 404;
}

async function call(request) {
  const url = new URL(request.url, "http://control");
  const [, handover, version, noun, segment, verb, more] = request.url.split("?")[0].split("/");
  const limit = Math.min(Number(url.searchParams.get("limit") ?? BOARDS_PER_PAGE_MAX), BOARDS_PER_PAGE_MAX);
  const number = (key) => Number(url.searchParams.get(key));
  const name = segment === undefined ? undefined : decodeURIComponent(segment);
  const route = [request.method, noun, segment === undefined ? "" : "{board}", verb ?? ""].join(" ").trimEnd();
  if (handover !== "handover" || version !== "v1" || more !== undefined) throw new NoSuchCall();
  switch (route) {
    case "GET server": return report();
    case "GET boards": return page(url.searchParams.get("after") ?? "", limit);
    case "PUT boards {board}": return prepare(name, await bodyOf(request));
    case "DELETE boards {board}": return forget(name, { generation: number("generation"), attempt: number("attempt") });
    case "POST boards {board} freeze": return freeze(name, await bodyOf(request));
    case "POST boards {board} activate": return activate(name, await bodyOf(request));
    case "POST boards {board} thaw": return thaw(name, await bodyOf(request));
    default: throw new NoSuchCall();
  }
}

export function control(token) {
  return createServer(async (request, response) => {
    const tell = (status, type, body) => {
      response.writeHead(status, { "content-type": type });
      response.end(body === undefined ? undefined : JSON.stringify(body));
    };
    if (token && !isSame(request.headers.authorization ?? "", `Bearer ${token}`)) {
      return tell(401, "application/json", { title: "no such token", status: 401 });
    }
    try {
      const body = await call(request);
      tell(body === undefined ? 204 : 200, "application/json", body);
    } catch (error) {
      if (error instanceof Refused) return tell(error.status, "application/problem+json", error.problem);
      tell(error.status ?? 400, "application/json", { title: String(error), status: error.status ?? 400 });
    }
  });
}

async function bodyOf(request) {
  const parts = [];
  let bytes = 0;
  for await (const part of request) {
    if ((bytes += part.length) > CONTROL_BYTES_MAX) throw new Error("the body is too long");
    parts.push(part);
  }
  return JSON.parse(Buffer.concat(parts));
}

function isSame(told, expected) {
  const digest = (text) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(told), digest(expected));
}

// Whiteboards in memory, and the control contract, as board.py has them: the rules are explained there.

import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { hasContract, loadTime, log, options, saveTime } from "./flags.mjs";
import { FenceLost, Store } from "./store.mjs";
import { boardOf, fingerprint, recital, Refused, understand } from "./wire.mjs";

const WELCOME_CHANGES_MAX = 200;
const ENDED_SESSIONS_KEPT_MS = 30_000;
const ARRIVAL_MS = 3_000;
const SLOW_MS = 20;

const incarnation = randomBytes(8).toString("hex");
const store = await Store.open(options.database, `${options.name}/${incarnation}`);
const boards = new Map();

class Session {
  constructor(board, name, isResumed, socket) {
    Object.assign(this, { board, name, isResumed, socket, user: null, begun: 0, handled: 0, sent: 0, waiting: 0, owed: 0 });
    this.endedAt = null;
    this.last = Promise.resolve();
  }

  send(body, isBinary = false) {
    if (this.endedAt !== null) return;
    this.sent += 1;
    if (body.type === "welcome" || body.type === "saved") this.owed -= 1;
    this.socket.send(JSON.stringify(body), { binary: isBinary });
  }

  // Sends one message in parts, with Pings between them.
  recite(parts, isBinary) {
    if (this.endedAt !== null) return;
    this.sent += 1;
    parts.forEach((part, place) => {
      if (place > 0) this.socket.ping();
      this.socket.send(part, { binary: isBinary, fin: place === parts.length - 1 });
    });
  }
}

class Board {
  constructor(name) {
    Object.assign(this, { name, role: "standby", generation: 0, attempt: 0, closedAttempt: 0, revision: 0 });
    Object.assign(this, { changes: [], lastSeq: new Map(), sessions: new Map(), ended: new Map() });
    Object.assign(this, { isLoaded: false, limits: null, freezing: null, thawing: null });
    this.saving = this.loading = Promise.resolve();
    this.waiting = [];
  }

  touch() {
    this.waiting.splice(0).forEach((wake) => wake());
  }

  changed(timeout) {
    const woken = new Promise((wake) => this.waiting.push(wake));
    return timeout === undefined ? woken : Promise.race([woken, sleep(timeout)]);
  }

  // Runs `work` alone, behind all that was asked for before: `lock` names the queue.
  alone(lock, work) {
    const done = this[lock].then(work);
    this[lock] = done.catch(() => {});
    return done;
  }

  async load() {
    if (!this.isLoaded) await sleep(loadTime);
    for (const row of await store.changesBehind(this.name, this.revision)) {
      this.take(Number(row.revision), row.author, Number(row.seq), JSON.parse(row.body));
    }
    this.isLoaded = true;
  }

  take(revision, author, seq, body) {
    const shown = body.points ? { color: body.color, points: body.points } : { bytes: body.bytes };
    this.revision = Math.max(this.revision, revision);
    this.lastSeq.set(author, Math.max(this.lastSeq.get(author) ?? 0, seq));
    const drawn = { type: "drawn", user: author, seq, revision, ...shown };
    this.changes = [...this.changes.slice(1 - WELCOME_CHANGES_MAX), drawn];
    return drawn;
  }

  others(session) {
    return [...this.sessions.values()].filter((other) => other !== session && other.user !== null);
  }

  announce(session, type) {
    if (session.user === null) return;
    this.others(session).forEach((other) => other.send({ type, user: session.user }));
  }

  mayBegin(session) {
    return this.role === "owner" && (this.limits === null || session.begun < (this.limits[session.name] ?? 0));
  }

  isThrough(session) {
    return session.handled === session.begun && session.handled >= (this.limits?.[session.name] ?? 0);
  }

  isUnderWay(call) {
    return this.freezing?.attempt === call.attempt && this.role !== "gone";
  }

  unfreeze(attempt) {
    this.closedAttempt = Math.max(this.closedAttempt, attempt);
    Object.assign(this, { role: "owner", limits: null, freezing: null });
    clearTimeout(this.thawing);
    this.touch();
  }

  drop(why) {
    log(`${this.name} is dropped: ${why}`);
    this.role = "gone";
    clearTimeout(this.thawing);
    if (boards.get(this.name) === this) boards.delete(this.name);
    for (const session of this.sessions.values()) session.socket.close(1012);
    this.touch();
  }
}

// -- sessions

export function admit(path, headers) {
  const name = boardOf(path);
  if (!hasContract) return name;
  const [board, generation] = [boards.get(name), headers["handover-generation"]];
  if (board?.role !== "owner" || board.limits !== null || String(board.generation) !== generation) {
    throw new Refused("not-owner", `${name} is not served here under generation ${generation}`);
  }
  return name;
}

export function attach(socket, headers, name) {
  let board = boards.get(name);
  if (!board) boards.set(name, (board = new Board(name)));
  const id = hasContract ? headers["handover-session"] : randomBytes(8).toString("hex");
  const session = new Session(board, id, "handover-from" in headers, socket);
  board.ended.delete(session.name);
  board.sessions.set(session.name, session);
  if (!hasContract) {
    session.last = board.alone("loading", async () => {
      if (board.role !== "standby") return;
      await board.load();
      board.role = "owner";
    });
  }
  return session;
}

export function detach(session) {
  const board = session.board;
  session.endedAt = Date.now();
  if (board.sessions.get(session.name) === session) {
    board.sessions.delete(session.name);
    for (const [name, old] of board.ended) {
      if (old.endedAt < session.endedAt - ENDED_SESSIONS_KEPT_MS) board.ended.delete(name);
    }
    board.ended.set(session.name, session);
  }
  if (board.role === "owner" && board.limits === null) board.announce(session, "left");
  if (!hasContract && board.sessions.size === 0 && boards.get(board.name) === board) boards.delete(board.name);
  board.touch();
}

export async function handle(session, data, isBinary) {
  const board = session.board;
  while (!board.mayBegin(session)) {
    if (board.role === "gone") return;
    await board.changed();
  }
  session.begun += 1;
  if (options.slow) await sleep(SLOW_MS);
  try {
    await apply(board, session, data, isBinary);
  } catch (error) {
    if (!(error instanceof FenceLost)) throw error;
    return board.drop("its fence has been taken");
  }
  session.handled += 1;
  board.touch();
}

async function apply(board, session, data, isBinary) {
  const body = understand(data);
  if (body.type === "hello") {
    const isNews = session.user === null && !session.isResumed;
    session.user = body.user;
    if (isNews) board.announce(session, "joined");
    const { name, release } = options;
    const users = board.others(session).length + 1;
    const welcome = { type: "welcome", board: board.name, revision: board.revision, users, server: name, release };
    session.send({ ...welcome, ...(session.isResumed ? { resumed: true } : { changes: board.changes }) }, isBinary);
    return;
  }
  if (session.user === null) return session.socket.close(1008);
  if (body.type === "recite") return session.recite(recital(body), body.binary);
  await sleep(saveTime);
  await board.alone("saving", async () => {
    const user = session.user;
    const isDraw = body.type === "draw";
    const seq = isDraw ? body.seq : (board.lastSeq.get(user) ?? 0) + 1;
    const kept = isDraw ? { color: body.color, points: body.points } : fingerprint(data);
    if (isDraw && body.pad !== undefined) kept.pad = fingerprint(Buffer.from(body.pad));
    const revision = hasContract
      ? await store.save(board.name, board.revision + 1, user, seq, board.generation, JSON.stringify(kept))
      : await store.saveUnfenced(board.name, user, seq, JSON.stringify(kept));
    session.send({ type: "saved", seq, revision }, isBinary);
    if (revision <= board.revision) return;
    const drawn = board.take(revision, user, seq, kept);
    board.others(session).forEach((other) => other.send(drawn));
  });
}

// -- the contract

function known(name, call) {
  const board = boards.get(name);
  if (!board) throw new Refused("unknown-board", `${name} is not in memory`);
  if (call.generation < board.generation) {
    throw new Refused("stale-generation", `${name} is at ${board.generation}`, { fence: board.generation });
  }
  if (call.attempt < board.attempt) throw new Refused("stale-attempt", `${name} is at attempt ${board.attempt}`);
  return board;
}

function knownOrNew(name, call) {
  if (!boards.has(name)) boards.set(name, new Board(name));
  return known(name, call);
}

function owned(name, call) {
  const board = known(name, call);
  if (call.generation !== board.generation || !["owner", "frozen"].includes(board.role)) {
    throw new Refused("not-owner", `${name} is ${board.role} under generation ${board.generation}`);
  }
  return board;
}

function dropOlderTerm(name, call) {
  const board = boards.get(name);
  if (board && board.role !== "standby" && board.generation < call.generation) board.drop("another term began");
}

export async function prepare(name, call) {
  dropOlderTerm(name, call);
  const board = knownOrNew(name, call);
  if (board.role !== "standby") {
    throw new Refused("stale-generation", `${name} is ${board.role} here`, { fence: board.generation });
  }
  Object.assign(board, { generation: call.generation, attempt: call.attempt });
  await board.alone("loading", () => board.load());
  return { revision: board.revision };
}

export async function freeze(name, call) {
  const board = owned(name, call);
  if (call.attempt <= board.closedAttempt) {
    throw new Refused("stale-attempt", `${name}: attempt ${board.closedAttempt} is closed`);
  }
  if (board.freezing?.attempt !== call.attempt) {
    board.attempt = call.attempt;
    board.freezing = { attempt: call.attempt };
    board.freezing.answer = freezeOnce(board, call);
  }
  return board.freezing.answer;
}

async function freezeOnce(board, call) {
  thawLater(board, call);
  board.limits = { ...call.sessions };
  board.touch();
  for (const session of board.sessions.values()) {
    if (!(session.name in call.sessions)) session.socket.close(1012);
  }
  let waitingUntil = Date.now() + call.deadline_ms / 2;
  while (board.isUnderWay(call) && ![...board.sessions.values()].every((session) => board.isThrough(session))) {
    if (Date.now() > waitingUntil) {
      for (const session of board.sessions.values()) {
        board.limits[session.name] = Math.min(board.limits[session.name] ?? 0, session.begun);
      }
      waitingUntil = Infinity;
    }
    await board.changed(50);
  }
  if (board.role === "gone") throw new Refused("not-owner", `${board.name} was lost while it was frozen`);
  if (!board.isUnderWay(call)) throw new Refused("stale-attempt", `${board.name}: the attempt was closed meanwhile`);
  board.role = "frozen";
  const counted = (name) => board.sessions.get(name) ?? board.ended.get(name);
  const answer = { revision: board.revision, sent: {}, short: {}, checkpoint: { users: {} } };
  for (const [name, count] of Object.entries(call.sessions)) {
    const session = counted(name);
    if (session) answer.sent[name] = session.sent;
    if (session) answer.checkpoint.users[name] = session.user;
    if ((session?.handled ?? 0) < count) answer.short[name] = session?.handled ?? 0;
  }
  return answer;
}

// Drops a board whose fence somebody else has taken; says whether we still own it.
async function keepsFence(board) {
  const { generation } = board;
  const fence = await store.fence(board.name);
  const isSame = boards.get(board.name) === board && board.generation === generation;
  const isOurs = fence.generation === generation && fence.owner === store.owner;
  if (isSame && !isOurs) board.drop(`its fence is ${JSON.stringify(fence)}`);
  return isSame && isOurs;
}

// Finds boards that went elsewhere while this process stood still: nobody tells us of those.
async function watchFences() {
  for (;;) {
    await sleep(2000);
    for (const board of [...boards.values()]) if (["owner", "frozen"].includes(board.role)) await keepsFence(board);
  }
}
if (hasContract) watchFences();

function thawLater(board, call) {
  clearTimeout(board.thawing);
  board.thawing = setTimeout(async () => {
    if (!(await keepsFence(board)) || board.limits === null) return;
    log(`${board.name} thaws itself`);
    board.unfreeze(call.attempt);
  }, call.deadline_ms);
}

export async function thaw(name, call) {
  const board = owned(name, call);
  if (!(await keepsFence(board))) throw new Refused("stale-generation", `${name} has gone to another server`);
  owned(name, call);
  board.attempt = call.attempt;
  board.unfreeze(call.attempt);
  for (const gone of call.gone ?? []) {
    if (board.ended.has(gone)) board.announce(board.ended.get(gone), "left");
  }
  return { revision: board.revision };
}

export async function activate(name, call) {
  dropOlderTerm(name, call);
  const board = knownOrNew(name, call);
  await board.alone("loading", async () => {
    if (board.role === "owner" && board.generation === call.generation) return;
    if (board.role !== "standby") {
      throw new Refused("stale-generation", `${name} is ${board.role} here`, { fence: board.generation });
    }
    board.attempt = call.attempt;
    if (!board.isLoaded) await board.load();
    const { isOurs, fence } = await store.takeFence(name, call.generation);
    if (!isOurs) {
      const [server, process] = (fence.owner ?? "").split("/");
      const more = { fence: fence.generation, fence_owner: { server, incarnation: process } };
      throw new Refused("stale-generation", `the fence is ${fence.generation}`, more);
    }
    await board.load();
    const expected = call.revision ?? board.revision;
    if (board.revision < expected) {
      throw new Refused("revision-missing", `${name} ends at ${board.revision} before ${expected}`);
    }
    if (board.revision > expected) log(`ALARM ${name}: ${board.revision} is more than the ${expected} that was saved`);
    Object.assign(board, { generation: call.generation, role: "owner" });
    setTimeout(() => miss(board, call), ARRIVAL_MS);
  });
  return { revision: board.revision };
}

function miss(board, call) {
  if (board.role !== "owner") return;
  for (const name of call.sessions ?? []) {
    const user = call.checkpoint?.users?.[name] ?? null;
    if (!board.sessions.has(name) && !board.ended.has(name)) board.announce({ user }, "left");
  }
}

export async function forget(name, call) {
  if (!boards.has(name)) return undefined;
  const board = known(name, call);
  if (!["standby", "frozen"].includes(board.role)) throw new Refused("not-frozen", `${name} is served here`);
  board.drop("the gateway is done with it");
  return undefined;
}

export function report() {
  const open = [...boards.values()].filter((board) => board.role === "owner").length;
  const { name, release } = options;
  return { name, incarnation, release, capabilities: ["transparent"], ready: true, open_boards: open };
}

export function page(after, limit) {
  const bytes = (left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right));
  const names = [...boards.keys()].filter((name) => bytes(name, after) > 0).sort(bytes);
  const reports = names.slice(0, limit).map((name) => {
    const { generation, role, revision, sessions } = boards.get(name);
    return { board: name, generation, role, revision, sessions: sessions.size };
  });
  return { incarnation, boards: reports, ...(names.length > limit ? { next: names[limit - 1] } : {}) };
}

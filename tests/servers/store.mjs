// Boards in PostgreSQL, as store.py keeps them: the statements and why they are as they are stand there.

import pg from "pg";

const TABLES = [
  "CREATE TABLE IF NOT EXISTS fences (board TEXT PRIMARY KEY, generation BIGINT NOT NULL, owner TEXT NOT NULL)",
  `CREATE TABLE IF NOT EXISTS changes (
    board TEXT NOT NULL, revision BIGINT NOT NULL, author TEXT NOT NULL, seq BIGINT NOT NULL,
    generation BIGINT NOT NULL, owner TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (board, revision), UNIQUE (board, author, seq))`,
  `CREATE TABLE IF NOT EXISTS repeats (
    board TEXT NOT NULL, author TEXT NOT NULL, seq BIGINT NOT NULL, owner TEXT NOT NULL, generation BIGINT NOT NULL)`,
];
const THERE_ALREADY = ["23505", "42P07", "42710"]; // unique_violation, duplicate_table, duplicate_object

const FENCED_WRITE = `
WITH fence AS (SELECT 1 FROM fences WHERE board = $1 AND generation = $5 AND owner = $6 FOR SHARE)
INSERT INTO changes (board, revision, author, seq, generation, owner, body)
SELECT $1::text, $2::bigint, $3::text, $4::bigint, $5::bigint, $6::text, $7::text FROM fence
ON CONFLICT DO NOTHING RETURNING revision`;

const UNFENCED_WRITE = `
INSERT INTO changes (board, revision, author, seq, generation, owner, body)
SELECT $1, coalesce(max(revision), 0) + 1, $2, $3, 0, $4, $5 FROM changes WHERE board = $1
ON CONFLICT DO NOTHING RETURNING revision`;

const TAKE_FENCE = `
INSERT INTO fences (board, generation, owner) VALUES ($1, $2, $3)
ON CONFLICT (board) DO UPDATE SET generation = excluded.generation, owner = excluded.owner
WHERE fences.generation < excluded.generation
RETURNING generation`;

// Another server owns the board: the write was refused.
export class FenceLost extends Error {}

export class Store {
  constructor(pool, owner) {
    Object.assign(this, { pool, owner });
  }

  static async open(url, owner) {
    const pool = new pg.Pool({ connectionString: url, max: 6 });
    pool.on("error", (error) => process.stderr.write(`database: ${error.message}\n`));
    for (const table of TABLES) {
      await pool.query(table).catch((error) => {
        if (!THERE_ALREADY.includes(error.code)) throw error;
      });
    }
    return new Store(pool, owner);
  }

  async rows(sql, ...values) {
    return (await this.pool.query(sql, values)).rows;
  }

  changesBehind(board, revision) {
    const sql = "SELECT revision, author, seq, body FROM changes WHERE board = $1 AND revision > $2 ORDER BY revision";
    return this.rows(sql, board, revision);
  }

  async fence(board) {
    const [row] = await this.rows("SELECT generation, owner FROM fences WHERE board = $1", board);
    return row ? { generation: Number(row.generation), owner: row.owner } : { generation: 0, owner: null };
  }

  async takeFence(board, generation) {
    const ours = { generation, owner: this.owner };
    if ((await this.rows(TAKE_FENCE, board, generation, this.owner)).length) return { isOurs: true, fence: ours };
    const fence = await this.fence(board);
    return { isOurs: fence.generation === generation && fence.owner === this.owner, fence };
  }

  async save(board, revision, author, seq, generation, body) {
    const [row] = await this.rows(FENCED_WRITE, board, revision, author, seq, generation, this.owner, body);
    if (row) return Number(row.revision);
    const fence = await this.fence(board);
    if (fence.generation !== generation || fence.owner !== this.owner) throw new FenceLost(board);
    const known = await this.noteRepeat(board, author, seq, generation);
    if (known === null) throw new Error(`${board}: change ${seq} of ${author} was not taken, and is not there`);
    return known;
  }

  async saveUnfenced(board, author, seq, body) {
    for (;;) {
      const [row] = await this.rows(UNFENCED_WRITE, board, author, seq, this.owner, body);
      if (row) return Number(row.revision);
      const known = await this.noteRepeat(board, author, seq, 0);
      if (known !== null) return known;
    }
  }

  async noteRepeat(board, author, seq, generation) {
    const known = "SELECT revision FROM changes WHERE board = $1 AND author = $2 AND seq = $3";
    const [row] = await this.rows(known, board, author, seq);
    if (!row) return null;
    const note = "INSERT INTO repeats (board, author, seq, owner, generation) VALUES ($1, $2, $3, $4, $5)";
    await this.rows(note, board, author, seq, this.owner, generation);
    return Number(row.revision);
  }
}

"""Boards in PostgreSQL: the fence of each board, its changes, and the changes that came again."""

import asyncio
import contextlib

import asyncpg

TABLES = [
    "CREATE TABLE IF NOT EXISTS fences (board TEXT PRIMARY KEY, generation BIGINT NOT NULL, owner TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS changes (
      board TEXT NOT NULL, revision BIGINT NOT NULL, author TEXT NOT NULL, seq BIGINT NOT NULL,
      generation BIGINT NOT NULL, owner TEXT NOT NULL, body TEXT NOT NULL,
      PRIMARY KEY (board, revision), UNIQUE (board, author, seq))""",
    """CREATE TABLE IF NOT EXISTS repeats (
      board TEXT NOT NULL, author TEXT NOT NULL, seq BIGINT NOT NULL,
      owner TEXT NOT NULL, generation BIGINT NOT NULL)""",
]

# Locking the fence's row lets a takeover wait for writes under way and makes later ones see it: without the lock a
# write could read the old fence and still commit behind the new owner's back.
FENCED_WRITE = """
WITH fence AS (SELECT 1 FROM fences WHERE board = $1 AND generation = $5 AND owner = $6 FOR SHARE)
INSERT INTO changes (board, revision, author, seq, generation, owner, body)
SELECT $1::text, $2::bigint, $3::text, $4::bigint, $5::bigint, $6::text, $7::text FROM fence
ON CONFLICT DO NOTHING RETURNING revision
"""

UNFENCED_WRITE = """
INSERT INTO changes (board, revision, author, seq, generation, owner, body)
SELECT $1, coalesce(max(revision), 0) + 1, $2, $3, 0, $4, $5 FROM changes WHERE board = $1
ON CONFLICT DO NOTHING RETURNING revision
"""

TAKE_FENCE = """
INSERT INTO fences (board, generation, owner) VALUES ($1, $2, $3)
ON CONFLICT (board) DO UPDATE SET generation = excluded.generation, owner = excluded.owner
WHERE fences.generation < excluded.generation
RETURNING generation
"""


class FenceLost(Exception):
    """Another server owns the board: the write was refused."""


class Store:
    """What one server process reads and writes; `owner` is its name and incarnation."""

    def __init__(self, pool, owner):
        self.pool = pool
        self.owner = owner

    @classmethod
    async def open(cls, url, owner):
        pool = await asyncpg.create_pool(url, min_size=1, max_size=6)
        for table in TABLES:
            # Where two servers make a table at once, one of them is told that it is there.
            with contextlib.suppress(asyncpg.UniqueViolationError, asyncpg.DuplicateTableError,
                                     asyncpg.DuplicateObjectError):
                await pool.execute(table)
        return cls(pool, owner)

    async def changes_behind(self, board, revision):
        return await self.pool.fetch(
            "SELECT revision, author, seq, body FROM changes WHERE board = $1 AND revision > $2 ORDER BY revision",
            board, revision)

    async def fence(self, board):
        row = await self.pool.fetchrow("SELECT generation, owner FROM fences WHERE board = $1", board)
        return (row["generation"], row["owner"]) if row else (0, None)

    async def take_fence(self, board, generation):
        """Takes the fence where it is lower; returns whether it is ours now, and what it is."""
        if await self.pool.fetchrow(TAKE_FENCE, board, generation, self.owner):
            return True, (generation, self.owner)
        fence = await self.fence(board)
        return fence == (generation, self.owner), fence

    async def save(self, board, revision, author, seq, generation, body):
        """Saves a change under the fence. Returns its revision: an older one where it had been saved before."""
        row = await self.pool.fetchrow(FENCED_WRITE, board, revision, author, seq, generation, self.owner, body)
        if row:
            return row["revision"]
        if await self.fence(board) != (generation, self.owner):
            raise FenceLost(board)
        return await self.note_repeat(board, author, seq, generation)

    async def save_unfenced(self, board, author, seq, body):
        """The same without a fence: as many servers write as want to."""
        while True:
            row = await self.pool.fetchrow(UNFENCED_WRITE, board, author, seq, self.owner, body)
            if row:
                return row["revision"]
            try:
                return await self.note_repeat(board, author, seq, 0)
            except LookupError:
                await asyncio.sleep(0)  # another server took the revision; the next one is free

    async def note_repeat(self, board, author, seq, generation):
        revision = await self.pool.fetchval(
            "SELECT revision FROM changes WHERE board = $1 AND author = $2 AND seq = $3", board, author, seq)
        if revision is None:
            raise LookupError(f"{board}: change {seq} of {author} was not taken, and is not there")
        await self.pool.execute(
            "INSERT INTO repeats (board, author, seq, owner, generation) VALUES ($1, $2, $3, $4, $5)",
            board, author, seq, self.owner, generation)
        return revision

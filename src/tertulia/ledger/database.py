"""The ledger's file: its tables, and how it is opened."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Generator
from pathlib import Path

from tertulia.errors import StoreError

VERSION = 1
BUSY = 5.0
"""Seconds that a writer waits for another process to be done."""
_TABLES = (
    """CREATE TABLE IF NOT EXISTS tokens(
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, hash BLOB NOT NULL UNIQUE, permissions TEXT NOT NULL,
        made REAL NOT NULL, expires REAL, cap INTEGER, spent INTEGER NOT NULL DEFAULT 0, revoked REAL,
        changed INTEGER NOT NULL)""",
    "CREATE UNIQUE INDEX IF NOT EXISTS tokens_name ON tokens(name) WHERE revoked IS NULL",
    "CREATE INDEX IF NOT EXISTS tokens_changed ON tokens(changed)",
    """CREATE TABLE IF NOT EXISTS usage(
        id INTEGER PRIMARY KEY, time REAL NOT NULL, request_id TEXT NOT NULL, token INTEGER NOT NULL,
        caller TEXT NOT NULL, model TEXT NOT NULL, provider TEXT NOT NULL, prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL, cost INTEGER NOT NULL, estimated INTEGER NOT NULL, outcome TEXT NOT NULL,
        seconds REAL NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS usage_time ON usage(time)",
    f"PRAGMA user_version = {VERSION}",
)


def prepare(path: Path) -> sqlite3.Connection:
    """A connection to the ledger at ``path``, which is made where there is none, for its owner alone to read. Raises
    StoreError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreError(f"the ledger {path} can't be opened: {error.strerror or error}") from None
    connection = connect(path, BUSY)
    try:
        _journal(connection)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise StoreError(f"the ledger {path} was written by a newer version: update this one")
        if version < VERSION:
            with writing(connection):
                for statement in _TABLES:
                    connection.execute(statement)
    except (sqlite3.Error, StoreError) as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise StoreError(f"the ledger {path} can't be opened: {error}") from None
        raise
    return connection


def connect(path: Path, busy: float) -> sqlite3.Connection:
    """One more connection. ``busy`` is how many seconds it waits for others. It is used by one thread at a time."""
    try:
        connection = sqlite3.connect(path, timeout=busy, isolation_level=None, check_same_thread=False)
        # What is committed survives our death; the machine's may cost the last of it, but nothing else.
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection
    except sqlite3.Error as error:
        raise StoreError(f"the ledger {path} can't be opened: {error}") from None


@contextlib.contextmanager
def writing(connection: sqlite3.Connection) -> Generator[None]:
    """All of it or nothing. Who else writes waits."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _journal(connection: sqlite3.Connection) -> None:
    """With WAL readers don't wait for writers. To set it one must be alone, and SQLite doesn't wait for that."""
    deadline = time.monotonic() + BUSY
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)

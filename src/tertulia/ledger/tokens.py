"""Callers' tokens: how they are written down, and what a process knows of them."""

import hashlib
import re
import secrets
import sqlite3
import string
import time
from collections.abc import Iterable, Mapping

from msgspec import Struct

from tertulia.errors import EngineFault, SpendCap, StoreError
from tertulia.ledger.database import writing
from tertulia.ledger.units import dollars

PERMISSIONS = ("inference", "admin")
PREFIX = "hf_"
"""Clients of Hugging Face tell a token from a provider's key by it."""
_LETTERS = string.ascii_letters + string.digits
_NAME = re.compile(r"(?!\d+$)[\w@][\w@.+-]{0,63}")
_COLUMNS = "id, name, permissions, made, expires, cap, spent, revoked"


class Token(Struct, frozen=True):
    """A caller's token, without its secret. Times are Unix times; ``cap`` and ``spent`` are millionths of a US dollar,
    ``spent`` as it was when this was read."""

    id: int
    name: str
    permissions: frozenset[str]
    made: float
    expires: float | None
    cap: int | None
    spent: int
    revoked: float | None

    def state(self, now: float) -> str:
        """``live``, ``expired`` or ``revoked``."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "live"


class Tokens:
    """What is known of the tokens in the file, kept up with what other processes write there.

    Each question first asks SQLite whether anybody has written since, which costs some microseconds; only the rows that
    did change are read then. A ledger that can't be read is an EngineFault: who was revoked is not to be let in for it.
    """

    def __init__(self, reader: sqlite3.Connection) -> None:
        self._execute = reader.cursor().execute
        self._version = self._changed = -1
        self._by_hash: dict[bytes, Token] = {}
        self._by_id: dict[int, Token] = {}
        self._spent: dict[int, int] = {}  # as the file has it
        self._pending: dict[int, int] = {}  # what this process has still to write

    def find(self, secret: str) -> Token | None:
        """The token of ``secret``, whether it is live or not."""
        if not secret.startswith(PREFIX):
            return None
        self.look()
        return self._by_hash.get(_digest(secret))

    def any(self) -> bool:
        """Whether there ever was a token: to revoke the last one opens no door."""
        self.look()
        return bool(self._by_id)

    def check(self, token: int) -> None:
        """Raises SpendCap where ``token`` has spent what it may."""
        known = self._by_id.get(token)
        if known is None or known.cap is None:
            return
        spent = self._spent.get(token, 0) + self._pending.get(token, 0)
        if spent < known.cap:
            return
        raise SpendCap(
            f"the token {known.name} has spent {dollars(spent)} of the {dollars(known.cap)} that it may: "
            "`tertulia token new NAME --cap DOLLARS` makes another"
        )

    def add(self, token: int, cost: int) -> None:
        """``token`` has spent ``cost`` more, which is not in the file yet."""
        if token and cost:
            self._pending[token] = self._pending.get(token, 0) + cost

    def settle(self, costs: Mapping[int, int]) -> None:
        """These are in the file now."""
        for token, cost in costs.items():
            left = self._pending.pop(token, 0) - cost
            if left > 0:
                self._pending[token] = left

    def look(self) -> None:
        """Read what has changed, if anything has."""
        try:
            (version,) = self._execute("PRAGMA data_version").fetchone()
            if version == self._version:
                return
            rows = self._execute(
                f"SELECT {_COLUMNS}, hash, changed FROM tokens WHERE changed > ? ORDER BY changed", (self._changed,)
            ).fetchall()
            capped = self._execute("SELECT id, spent FROM tokens WHERE cap IS NOT NULL").fetchall()
        except sqlite3.Error as error:
            raise EngineFault(f"the ledger can't be read: {error}") from None
        for row in rows:
            token, digest = _token(row), row[-2]
            self._by_hash[digest] = self._by_id[token.id] = token
            self._changed = row[-1]
        self._version = version
        self._spent.update(capped)


def write(
    connection: sqlite3.Connection, name: str, permissions: Iterable[str], expires: float | None, cap: int | None
) -> str:
    """Write a new token down and return its secret, which can't be had again. Raises StoreError for a name that is
    taken or none."""
    wanted = [one for one in PERMISSIONS if one in set(permissions)]
    if not wanted or len(wanted) < len(set(permissions)):
        raise StoreError(f"a permission is one of {', '.join(PERMISSIONS)}", param="permissions")
    if not _NAME.fullmatch(name):
        called = f"{name[:80]!r}"
        raise StoreError(
            f"a token can't be called {called}: choose up to 64 letters, digits and . _ - + @, not digits alone",
            param="name",
        )
    secret = PREFIX + "".join(secrets.choice(_LETTERS) for _ in range(34))
    row = (name, _digest(secret), ",".join(wanted), time.time(), expires, cap)
    try:
        with writing(connection):
            connection.execute(
                "INSERT INTO tokens(name, hash, permissions, made, expires, cap, changed) "
                "SELECT ?, ?, ?, ?, ?, ?, coalesce(max(changed), 0) + 1 FROM tokens",
                row,
            )
    except sqlite3.IntegrityError:
        raise StoreError(
            f"there is a token called {name}: choose another name, or `tertulia token revoke {name}`", param="name"
        ) from None
    return secret


def read(connection: sqlite3.Connection) -> list[Token]:
    """Every token, the oldest first."""
    return [_token(row) for row in connection.execute(f"SELECT {_COLUMNS} FROM tokens ORDER BY id")]


def revoke(connection: sqlite3.Connection, which: str) -> Token:
    """Revoke the token whose name or id is ``which``, and return it. Raises StoreError where there is none."""
    with writing(connection):
        column = "id" if which.isascii() and which.isdigit() else "name"
        row = connection.execute(
            f"SELECT {_COLUMNS} FROM tokens WHERE {column} = ? ORDER BY revoked IS NOT NULL, id DESC LIMIT 1", (which,)
        ).fetchone()
        if row is None:
            raise StoreError(f"there is no token {which[:80]}: `tertulia token list` shows those there are", param="id")
        token = _token(row)
        if token.revoked is not None:
            raise StoreError(f"the token {which} was revoked already", param="id")
        connection.execute(
            "UPDATE tokens SET revoked = ?, changed = (SELECT max(changed) + 1 FROM tokens) WHERE id = ?",
            (time.time(), token.id),
        )
    return token


def _token(row: tuple[int, str, str, float, float | None, int | None, int, float | None]) -> Token:
    number, name, permissions, made, expires, cap, spent, revoked = row[:8]
    return Token(number, name, frozenset(permissions.split(",")), made, expires, cap, spent, revoked)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()

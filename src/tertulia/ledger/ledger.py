"""The ledger: who may ask and what was spent, in one SQLite file that several processes may have open."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from tertulia.errors import StoreError
from tertulia.ledger import database, tokens, usage
from tertulia.ledger.tokens import Token, Tokens
from tertulia.ledger.usage import Entry, Journal, Sum
from tertulia.types import Spent

T = TypeVar("T")
GLANCE = 0.1
"""Seconds that a question on the event loop waits for another process at most, where SQLite makes it wait at all."""


class Ledger:
    """``async with Ledger(path) as ledger``: the folder and the file are made where there are none. Raises StoreError.

    What is plain (``find``, ``any``, ``check``, ``spend``) takes microseconds and is called on the event loop; what is
    awaited is done in a thread of the ledger's own."""

    _writer: sqlite3.Connection
    _reader: sqlite3.Connection
    _tokens: Tokens
    _journal: Journal
    _thread: ThreadPoolExecutor

    def __init__(self, path: Path) -> None:
        self.path = path

    async def __aenter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1, "ledger")
        try:
            self._writer, self._reader, self._tokens = await self._do(self._open)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        self._journal = Journal(self._write)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None):
        try:
            await self._journal.close()
        finally:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._do(self._close), usage.LAST)
            self._thread.shutdown(wait=False)

    # ---------------------------------------------------------------- on the way of a request

    def find(self, secret: str) -> Token | None:
        """The token that ``secret`` is, live or not, as any process has left it; None where it is none of ours. Raises
        EngineFault where the file can't be read."""
        return self._tokens.find(secret)

    def any(self) -> bool:
        """Whether there ever was a token. Raises EngineFault where the file can't be read."""
        return self._tokens.any()

    def check(self, token: int) -> None:
        """Raises SpendCap where the token with this id has spent what it may. What runs already is not counted."""
        self._tokens.check(token)

    def spend(self, entry: Spent) -> None:
        """Write ``entry`` to the usage log, soon, and add its cost to what its token has spent, now. Never waits, never
        raises; what can't be written is counted in ``lost`` and told in the log."""
        self._tokens.add(entry.token, entry.cost)
        self._journal.add(entry)

    @property
    def lost(self) -> int:
        """Entries of the usage log that could not be written."""
        return self._journal.lost

    # ---------------------------------------------------------------- for commands

    async def new(
        self,
        name: str,
        permissions: Iterable[str] = ("inference",),
        expires: float | None = None,
        cap: int | None = None,
    ) -> str:
        """Make a token and return its secret, of which only a hash is kept. ``expires`` is a Unix time, ``cap`` in
        millionths of a US dollar. Raises StoreError for a name that is taken or none."""
        wanted = tuple(permissions)
        return await self._ask(lambda: tokens.write(self._writer, name, wanted, expires, cap))

    async def revoke(self, which: int | str) -> Token:
        """Revoke the token with this id or name, for every process at once. Raises StoreError where there is none."""
        return await self._ask(lambda: tokens.revoke(self._writer, str(which)))

    async def sums(self, since: float, by: str) -> list[Sum]:
        """The usage log since a Unix time, summed by ``token``, ``model``, ``provider`` or ``day``."""
        return await self._ask(lambda: usage.sums(self._writer, since, by))

    async def last(self, since: float) -> dict[tuple[int, str], float]:
        """When each token, by its id and its caller's name, was last used, where that was since a Unix time."""
        return await self._ask(lambda: usage.last(self._writer, since))

    async def list(self) -> "list[Token]":
        """Every token there ever was, the oldest first."""
        return await self._ask(lambda: tokens.read(self._writer))

    # ---------------------------------------------------------------- in the thread

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _ask(self, work: Callable[[], T]) -> T:
        try:
            return await self._do(work)
        except sqlite3.Error as error:
            raise StoreError(f"the ledger {self.path} can't be used: {error}") from None

    async def _write(self, batch: "list[Entry]") -> int:
        written = await self._do(lambda: usage.write(self._writer, batch))
        self._tokens.settle(usage.costs(batch))
        return written

    def _open(self) -> tuple[sqlite3.Connection, sqlite3.Connection, Tokens]:
        writer = database.prepare(self.path)
        reader = database.connect(self.path, GLANCE)
        known = Tokens(reader)
        known.look()
        return writer, reader, known

    def _close(self) -> None:
        self._reader.close()
        self._writer.close()

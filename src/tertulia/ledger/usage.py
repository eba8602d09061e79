"""The usage log: entries that wait to be written, the task that writes them, and their sums."""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice

from msgspec import Struct, field

from tertulia.ledger.database import writing
from tertulia.types import Spent

log = logging.getLogger("tertulia.ledger")

ROOM = 10_000
"""Entries that wait at most; more are lost."""
BATCH = 1_000
AT_ONCE = 50
"""Entries that are written by one statement: after each the thread has to wait for the event loop's."""
GATHER = 0.4
"""Seconds that a batch gathers for."""
PAUSE = 1.0
"""Seconds until what could not be written is tried again."""
LAST = 10.0
"""Seconds that the last entries have, at the end."""
_INSERT = (
    "INSERT INTO usage(time, request_id, token, caller, model, provider, prompt_tokens, completion_tokens, cost, "
    "estimated, outcome, seconds) VALUES "
)
_PLACES = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_PASSED_ON = frozenset({"failed_over", "continued"})
_KEYS = {
    "token": "CASE WHEN token THEN caller || ' (' || token || ')' ELSE caller END",
    "model": "model",
    "provider": "provider",
    "day": "date(time, 'unixepoch', 'localtime')",
}
BY = tuple(_KEYS)
Entry = tuple[float, Spent]


class Sum(Struct):
    """What a token, a model, a provider or a day came to. ``cost`` is in millionths of a US dollar; ``outcomes`` counts
    entries. A request that several providers had a part in is one, but by model and by provider each part counts.
    ``estimated`` says that not all tokens were told by providers."""

    key: str
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: int = 0
    estimated: bool = False
    outcomes: dict[str, int] = field(default_factory=dict[str, int])


class Journal:
    """Entries on their way to the file. ``write`` writes some of them, in a thread."""

    def __init__(self, write: Callable[[list[Entry]], Awaitable[int]]) -> None:
        self.lost = 0
        self._write = write
        self._waiting: deque[Entry] = deque()
        self._something = asyncio.Event()
        self._closing = asyncio.Event()
        self._failing = self._full = False
        self._task = asyncio.create_task(self._run())

    def add(self, entry: Spent) -> None:
        """Never waits, never raises: what there is no room for is counted and told in the log."""
        if len(self._waiting) >= ROOM or self._task.done():
            self.lost += 1
            if not self._full:
                self._full = True
                log.error("the usage log can't keep up: entries are lost")
            return
        self._waiting.append((time.time(), entry))
        self._something.set()

    async def close(self) -> None:
        """Write what waits, within LAST seconds, and stop."""
        self._closing.set()
        self._something.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._task, LAST)
        self.lost += len(self._waiting)
        self._waiting.clear()
        if self.lost:
            log.error("%d entries of the usage log could not be written", self.lost)

    async def _run(self) -> None:
        while True:
            await self._something.wait()
            await self._rest(GATHER)
            while batch := list(islice(self._waiting, BATCH)):
                try:
                    written = await self._write(batch)
                except sqlite3.OperationalError as error:  # locked, or the disk is full: it may be better later
                    if not self._failing:
                        log.error("the usage log can't be written, and is tried again: %s", error)
                    self._failing = True
                    if self._closing.is_set():
                        return
                    await self._rest(PAUSE)
                    continue
                self.lost += len(batch) - written
                for _ in batch:
                    self._waiting.popleft()
                if self._failing or self._full:
                    log.warning("the usage log is written again; %d entries were lost so far", self.lost)
                    self._failing = self._full = False
                if len(batch) < BATCH and not self._closing.is_set():
                    break  # what came meanwhile gathers first: a commit costs more than what is in it
            if self._closing.is_set():
                return
            if not self._waiting:
                self._something.clear()

    async def _rest(self, seconds: float) -> None:
        """Wait, but not beyond the end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)


def write(connection: sqlite3.Connection, batch: list[Entry]) -> int:
    """Write ``batch`` and what it adds to the tokens' spending; returns how many could be. One that can't be written
    doesn't keep the others out. Raises sqlite3.OperationalError when none can be now."""
    try:
        _insert(connection, batch)
        return len(batch)
    except sqlite3.OperationalError:
        raise
    except (sqlite3.Error, OverflowError, UnicodeError, ValueError) as error:
        log.error("an entry of the usage log can't be written: %s", error)
        if len(batch) == 1:
            return 0
    middle = len(batch) // 2
    return write(connection, batch[:middle]) + write(connection, batch[middle:])


def costs(batch: Iterable[Entry]) -> dict[int, int]:
    """What each token has spent in ``batch``."""
    spent: dict[int, int] = {}
    for _, entry in batch:
        if entry.token and entry.cost:
            spent[entry.token] = spent.get(entry.token, 0) + entry.cost
    return spent


def _insert(connection: sqlite3.Connection, batch: list[Entry]) -> None:
    spent = costs(batch)
    with writing(connection):
        for start in range(0, len(batch), AT_ONCE):
            rows = [_row(moment, entry) for moment, entry in batch[start : start + AT_ONCE]]
            values = [value for row in rows for value in row]
            connection.execute(_INSERT + ", ".join([_PLACES] * len(rows)), values)
        connection.executemany(
            "UPDATE tokens SET spent = spent + ? WHERE id = ?", [(cost, token) for token, cost in spent.items()]
        )


def _row(moment: float, entry: Spent) -> tuple[float | int | str, ...]:
    return (
        moment,
        entry.request_id,
        entry.token,
        entry.caller,
        entry.model,
        entry.provider,
        entry.prompt_tokens,
        entry.completion_tokens,
        entry.cost,
        entry.estimated,
        entry.outcome,
        entry.seconds,
    )


def sums(connection: sqlite3.Connection, since: float, by: str) -> list[Sum]:
    """Entries since a Unix time, summed; days in order, else what cost most first. Raises KeyError for a ``by`` that is
    none of BY."""
    found: dict[str, Sum] = {}
    for key, outcome, entries, prompt, said, cost, estimated in connection.execute(
        f"SELECT {_KEYS[by]}, outcome, count(*), sum(prompt_tokens), sum(completion_tokens), sum(cost), max(estimated) "
        "FROM usage WHERE time >= ? GROUP BY 1, 2 ORDER BY 1, 3 DESC",
        (since,),
    ):
        total = found.setdefault(key, Sum(key))
        if by in ("model", "provider") or outcome not in _PASSED_ON:
            total.requests += entries
        total.prompt_tokens += prompt
        total.completion_tokens += said
        total.cost += cost
        total.estimated |= bool(estimated)
        total.outcomes[outcome] = entries
    return list(found.values()) if by == "day" else sorted(found.values(), key=lambda one: (-one.cost, -one.requests))


def last(connection: sqlite3.Connection, since: float) -> dict[tuple[int, str], float]:
    """The newest entry since a Unix time of each token, by id and name."""
    rows = connection.execute(
        "SELECT token, caller, max(time) FROM usage WHERE time >= ? GROUP BY token, caller", (since,)
    )
    return {(token, caller): moment for token, caller, moment in rows}

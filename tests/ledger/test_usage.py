"""The usage log."""

import asyncio
import logging
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tertulia.ledger import database, usage
from tertulia.ledger.ledger import Ledger
from tertulia.types import Spent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
async def ledger(path: Path) -> AsyncGenerator[Ledger, None]:
    async with Ledger(path) as ledger:
        yield ledger


def spent(**said: Any) -> Spent:
    given: dict[str, Any] = {"request_id": "r", "token": 0, "caller": "local", "model": "m", "provider": "p"}
    return Spent(**(given | said))


async def read(path: Path, by: str = "provider", since: float = 0) -> list[usage.Sum]:
    async with Ledger(path) as ledger:
        return await ledger.sums(since, by)


async def written(ledger: Ledger, number: int, seconds: float = 8) -> None:
    async with asyncio.timeout(seconds):
        while sum(one.requests for one in await ledger.sums(0, "provider")) < number:
            await asyncio.sleep(0.02)


async def test_an_entry_is_written_within_a_second_and_whole(ledger: Ledger, path: Path):
    entry = spent(request_id="q", token=7, caller="ana", prompt_tokens=3, completion_tokens=4, cost=5, seconds=0.25)
    ledger.spend(entry)
    await written(ledger, 1, 1)
    with sqlite3.connect(path) as other:
        *row, moment = other.execute(
            "SELECT request_id, token, caller, model, provider, prompt_tokens, completion_tokens, cost, estimated, "
            "outcome, seconds, time FROM usage"
        ).fetchone()
    other.close()
    assert row == ["q", 7, "ana", "m", "p", 3, 4, 5, 0, "ok", 0.25] and abs(moment - time.time()) < 2


async def test_every_outcome_is_summed_by_whom_by_what_and_by_day(path: Path):
    async with Ledger(path) as ledger:
        ledger.spend(spent(token=1, caller="ana", provider="a", outcome="failed_over", estimated=True))
        ledger.spend(spent(token=1, caller="ana", provider="b", prompt_tokens=10, completion_tokens=5, cost=7))
        ledger.spend(spent(token=1, caller="ana", provider="b", prompt_tokens=1, outcome="cancelled"))
        ledger.spend(spent(provider="a", model="n", outcome="continued", completion_tokens=2, cost=1))
        ledger.spend(spent(provider="c", model="n", outcome="upstream_error"))
    assert await read(path, "token") == [
        usage.Sum("ana (1)", 2, 11, 5, 7, True, {"cancelled": 1, "failed_over": 1, "ok": 1}),
        usage.Sum("local", 1, 0, 2, 1, False, {"continued": 1, "upstream_error": 1}),
    ]
    assert await read(path, "provider") == [
        usage.Sum("b", 2, 11, 5, 7, False, {"cancelled": 1, "ok": 1}),
        usage.Sum("a", 2, 0, 2, 1, True, {"continued": 1, "failed_over": 1}),
        usage.Sum("c", 1, outcomes={"upstream_error": 1}),
    ]
    assert [(one.key, one.requests, one.cost) for one in await read(path, "model")] == [("m", 3, 7), ("n", 2, 1)]
    (day,) = await read(path, "day")
    assert (day.requests, day.cost) == (3, 8) and day.key == datetime.now().date().isoformat()
    assert await read(path, "day", time.time() + 1) == []


async def test_what_was_spent_survives_a_kill(path: Path):
    script = (
        "import asyncio, sys; from pathlib import Path\n"
        "from tertulia.ledger.ledger import Ledger; from tertulia.types import Spent\n"
        "async def main():\n"
        "    async with Ledger(Path(sys.argv[1])) as ledger:\n"
        "        await ledger.new('ana', cap=10**9)\n"
        "        for n in range(2500):\n"
        "            ledger.spend(Spent(request_id=str(n), token=1, caller='ana', model='m', provider='p', cost=2))\n"
        "        print('spent', flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, path, stdout=subprocess.PIPE)
    assert process.stdout and await asyncio.wait_for(process.stdout.readline(), 20) == b"spent\n"
    await asyncio.sleep(1)
    process.kill()
    await process.wait()
    (total,) = await read(path)
    assert (total.requests, total.cost) == (2500, 5000)
    async with Ledger(path) as ledger:
        assert [token.spent for token in await ledger.list()] == [5000]


async def test_nobody_waits_for_a_file_that_is_locked(ledger: Ledger, path: Path):
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    longest = 0.0
    for _ in range(50):
        started = time.perf_counter()
        ledger.spend(spent())
        longest = max(longest, time.perf_counter() - started)
        started = time.perf_counter()
        await asyncio.sleep(0.01)
        longest = max(longest, time.perf_counter() - started - 0.01)
    assert longest < 0.25  # the thread has waited since the first batch
    other.execute("COMMIT")
    other.close()
    await written(ledger, 50)
    assert ledger.lost == 0


async def test_what_cant_be_written_now_is_tried_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(database, "BUSY", 0.05)
    monkeypatch.setattr(usage, "PAUSE", 0.05)
    async with Ledger(path) as ledger:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        ledger.spend(spent())
        async with asyncio.timeout(5):
            while "can't be written, and is tried again: database is locked" not in caplog.text:
                await asyncio.sleep(0.01)
        other.execute("COMMIT")
        other.close()
        await written(ledger, 1)
        assert ledger.lost == 0
    assert caplog.text.count("database is locked") == 1


async def test_what_there_is_no_room_for_is_counted_and_told_once(ledger: Ledger, caplog: pytest.LogCaptureFixture):
    entry = spent()
    for _ in range(usage.ROOM + 50):
        ledger.spend(entry)
    assert ledger.lost == 50 and caplog.text.count("entries are lost") == 1
    await written(ledger, usage.ROOM)
    assert ledger.lost == 50


@pytest.mark.parametrize("entries", [9, 2 * usage.AT_ONCE + 7])
async def test_a_bad_entry_doesnt_keep_the_others_out(path: Path, caplog: pytest.LogCaptureFixture, entries: int):
    async with Ledger(path) as ledger:
        for number in range(entries):
            ledger.spend(spent())
            if number in (2, entries - 4):
                ledger.spend(spent(cost=1 << 70) if number == 2 else spent(model="\ud800"))
    assert ledger.lost == 2 and "can't be written" in caplog.text and "2 entries" in caplog.text
    (total,) = await read(path)
    assert total.requests == entries


async def test_at_the_end_a_locked_file_keeps_nobody_for_long(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(database, "BUSY", 0.1)
    async with Ledger(path) as ledger:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        ledger.spend(spent())
        started = time.perf_counter()
    assert time.perf_counter() - started < 2
    assert ledger.lost == 1 and "1 entries of the usage log could not be written" in caplog.text
    other.close()
    ledger.spend(spent())
    assert ledger.lost == 2


async def test_an_entry_costs_the_event_loop_microseconds(ledger: Ledger, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.CRITICAL)
    entry, best = spent(), 1.0
    for _ in range(9):
        started = time.perf_counter()
        for _ in range(1000):
            ledger.spend(entry)
        best = min(best, (time.perf_counter() - started) / 1000)
        await asyncio.sleep(0.01)
    assert best < 10e-6, best


async def test_the_file_beside_it_doesnt_grow_for_ever(ledger: Ledger, path: Path):
    """A connection that keeps reading must not keep SQLite from folding the -wal file into the ledger."""
    for number in range(1, 13):
        for _ in range(3000):
            ledger.spend(spent(request_id="r" * 100))
        ledger.find("hf_x")
        await written(ledger, number * 3000)
    log, whole = path.with_name("ledger.db-wal").stat().st_size, path.stat().st_size
    assert whole > 2e6 and log < 6e6, (whole, log)

"""Callers' tokens."""

import asyncio
import gc
import hashlib
import re
import sqlite3
import stat
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tertulia.errors import EngineFault, SpendCap, StoreError
from tertulia.ledger.ledger import Ledger
from tertulia.types import Spent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "down" / "ledger.db"


@pytest.fixture
async def ledger(path: Path) -> AsyncGenerator[Ledger, None]:
    async with Ledger(path) as ledger:
        yield ledger


def spent(token: int, cost: int) -> Spent:
    return Spent(request_id="r", token=token, caller="ana", model="m", provider="p", cost=cost)


async def test_a_token_is_spelt_as_hugging_faces_are(ledger: Ledger):
    secret = await ledger.new("ana")
    assert re.fullmatch(r"hf_[A-Za-z0-9]{34}", secret)
    assert secret != await ledger.new("bob")


async def test_only_its_hash_is_kept(ledger: Ledger, path: Path):
    secret = await ledger.new("ana")
    files = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert hashlib.sha256(secret.encode()).digest() in files and secret[3:].encode() not in files


async def test_nobody_else_can_read_the_file(ledger: Ledger, path: Path):
    await ledger.new("ana")
    files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert files == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}


async def test_it_is_found_with_all_that_was_said_of_it(ledger: Ledger):
    now = time.time()
    secret = await ledger.new("ana", ("admin", "inference"), now + 60, 5_000_000)
    token = ledger.find(secret)
    assert token and (token.name, token.cap, token.expires, token.spent) == ("ana", 5_000_000, now + 60, 0)
    assert token.permissions == {"admin", "inference"} and abs(token.made - now) < 5
    assert (token.state(now), token.state(now + 61)) == ("live", "expired")
    assert ledger.find(secret[:-1]) is None and ledger.find("sk-other") is None and ledger.find("hf_\udcff") is None


async def test_another_process_is_heeded_at_once(ledger: Ledger, path: Path):
    assert not ledger.any()
    async with Ledger(path) as other:
        secret = await other.new("ana")
        assert ledger.any()
        token = ledger.find(secret)
        assert token and token.state(time.time()) == "live"
        await other.revoke("ana")
        token = ledger.find(secret)
        assert token and token.state(time.time()) == "revoked" and ledger.any()


async def test_our_own_changes_are_too(ledger: Ledger):
    secret = await ledger.new("ana")
    found = ledger.find(secret)
    assert found and found.state(time.time()) == "live"
    await ledger.revoke(found.id)
    found = ledger.find(secret)
    assert found and found.state(time.time()) == "revoked"


async def test_a_name_is_one_live_tokens_and_is_free_again_once_that_is_revoked(ledger: Ledger):
    first = await ledger.new("ana")
    with pytest.raises(StoreError, match=r"a token called ana.*revoke ana"):
        await ledger.new("ana")
    await ledger.revoke("ana")
    second = await ledger.new("ana")
    await ledger.revoke("ana")
    states = [token and token.state(time.time()) for token in map(ledger.find, (first, second))]
    assert states == ["revoked", "revoked"]
    with pytest.raises(StoreError, match="revoked already"):
        await ledger.revoke("ana")
    assert [token.id for token in await ledger.list()] == [1, 2]


@pytest.mark.parametrize("name", ["", "12", "a b", "a\nb", "-x", "x" * 65])
async def test_names_that_would_mislead_are_refused(ledger: Ledger, name: str):
    with pytest.raises(StoreError, match="can't be called"):
        await ledger.new(name)


async def test_an_unknown_permission_is_refused(ledger: Ledger):
    for permissions in (("root",), ("inference", "root"), ()):
        with pytest.raises(StoreError, match="inference, admin"):
            await ledger.new("ana", permissions)


async def test_who_has_spent_the_cap_is_told_how_much_of_what(ledger: Ledger):
    token = ledger.find(await ledger.new("ana", cap=1_500_000))
    assert token
    ledger.spend(spent(token.id, 1_499_999))
    ledger.check(token.id)
    ledger.spend(spent(token.id, 21))
    with pytest.raises(SpendCap, match=r"ana has spent \$1\.50002 of the \$1\.50 that it may"):
        ledger.check(token.id)
    ledger.check(0)
    ledger.check(99)


async def test_what_was_spent_is_still_known_after_a_restart(path: Path):
    async with Ledger(path) as ledger:
        token = ledger.find(await ledger.new("ana", cap=100))
        assert token
        for _ in range(3):
            ledger.spend(spent(token.id, 40))
    async with Ledger(path) as ledger:
        assert [token.spent for token in await ledger.list()] == [120]
        with pytest.raises(SpendCap, match=r"\$0\.00012 of the \$0\.0001"):
            ledger.check(token.id)


async def test_a_writer_elsewhere_keeps_nobody_waiting(ledger: Ledger, path: Path):
    secret = await ledger.new("ana")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("UPDATE tokens SET name = 'eve'")
    started = time.perf_counter()
    found = ledger.find(secret)
    assert found and found.name == "ana" and time.perf_counter() - started < 0.05
    other.close()


async def test_a_ledger_that_cant_be_read_lets_nobody_in(path: Path):
    async with Ledger(path) as ledger:
        secret = await ledger.new("ana")
        assert ledger.find(secret)
    with pytest.raises(EngineFault, match="the ledger can't be read"):
        ledger.find(secret)


async def test_what_is_no_ledger_is_told(tmp_path: Path):
    file = tmp_path / "ledger.db"
    file.write_text("these are not the bytes that SQLite is looking for\n" * 100)
    (tmp_path / "file").touch()
    for path in (file, tmp_path, tmp_path / "file" / "ledger.db"):
        with pytest.raises(StoreError, match=f"the ledger {path} can't be opened"):
            async with Ledger(path):
                pass


async def test_one_of_a_newer_version_is_left_alone(path: Path):
    async with Ledger(path):
        pass
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(StoreError, match="newer version"):
        async with Ledger(path):
            pass


async def test_many_may_make_it_at_the_same_time(path: Path):
    async def make(name: str) -> str:
        async with Ledger(path) as ledger:
            return await ledger.new(name)

    secrets = await asyncio.gather(*(make(f"t{number}") for number in range(8)))
    async with Ledger(path) as ledger:
        assert all(map(ledger.find, secrets)) and len(await ledger.list()) == 8


def fill(path: Path, number: int) -> list[str]:
    secrets = [f"hf_{index:034}" for index in range(number)]
    hashes = ((hashlib.sha256(secret.encode()).digest(), secret[3:]) for secret in secrets)
    with sqlite3.connect(path) as connection:
        connection.executemany(
            "INSERT INTO tokens(name, hash, permissions, made, changed) VALUES ('t' || ?2, ?1, 'inference', 0, 1)",
            hashes,
        )
    connection.close()
    return secrets


async def test_ten_thousand_tokens_cost_what_ten_do(tmp_path: Path):
    best: dict[int, float] = {}
    async with Ledger(tmp_path / "few.db") as few, Ledger(tmp_path / "many.db") as many:
        sides = [(few, fill(few.path, 10)), (many, fill(many.path, 10_000))]
        for _ in range(15):
            for ledger, secrets in sides:
                asked = (secrets * 100)[:1000]
                gc.collect()
                started = time.process_time()
                found = [ledger.find(secret) for secret in asked]
                took = (time.process_time() - started) / len(asked)
                assert None not in found
                best[len(secrets)] = min(took, best.get(len(secrets), 1))
    assert best[10_000] < 10e-6, best
    assert best[10_000] < 1.25 * best[10], best


async def test_one_change_among_ten_thousand_is_read_alone(tmp_path: Path):
    async with Ledger(tmp_path / "ledger.db") as ledger:
        secrets = fill(ledger.path, 10_000)
        started = time.process_time()
        assert ledger.find(secrets[0])
        whole = time.process_time() - started
        changes: list[float] = []
        for number in range(5):
            await ledger.revoke(number + 1)
            started = time.process_time()
            token = ledger.find(secrets[number])
            changes.append(time.process_time() - started)
            assert token and token.revoked
    assert min(changes) < whole / 10, (changes, whole)


async def test_a_cap_holds_for_all_processes_together(ledger: Ledger, path: Path):
    secret = await ledger.new("ana", cap=1_000_000)
    token = ledger.find(secret)
    assert token
    async with Ledger(path) as other:
        assert other.find(secret)
        other.spend(spent(token.id, 700_000))
        other.check(token.id)
        ledger.spend(spent(token.id, 400_000))
        async with asyncio.timeout(5):
            while True:  # as soon as what was spent is in the file
                ledger.find(secret), other.find(secret)
                try:
                    ledger.check(token.id)
                    other.check(token.id)
                except SpendCap as refused:
                    assert "of the $1" in refused.message
                    return
                await asyncio.sleep(0.02)

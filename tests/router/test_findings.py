"""What probes found outlives the process, is shared by several, and loses nothing to an error."""

import asyncio
import json
import logging
from pathlib import Path

import pytest

from tertulia.router.findings import Probes
from tertulia.router.probe import Finding

YES = Finding(works=True, when=100, tokens=30, cost=0.001)
NO = Finding(works=False, why="400: no", when=200, cost=0.0)
OPEN = Finding(why="429: slow down", when=300, again=True)
DAY = 86400.0


class Clock:
    def __init__(self) -> None:
        self.now = 20 * DAY

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "probes.json"


async def test_findings_are_kept_for_the_next_start(file: Path) -> None:
    await Probes(file).keep("far", "org/model", {"tools": YES, "n": NO, "seed": OPEN})
    probes = Probes(file)
    assert probes.known("far", "org/model") == {"tools": YES, "n": NO, "seed": OPEN}
    assert probes.known("far", "org/other") == probes.known("near", "org/model") == {}


async def test_only_what_was_found_out_counts(file: Path) -> None:
    probes = Probes(file)
    await probes.keep("far", "m", {"tools": YES, "n": NO, "seed": OPEN})
    assert probes.fields("far", "m") == {"tools": (True, 100), "n": (False, 200)}
    assert probes.fields("far", "other") == {}


async def test_an_error_does_not_undo_what_was_found_out_before(file: Path) -> None:
    probes = Probes(file)
    await probes.keep("far", "m", {"tools": YES, "n": NO})
    await probes.keep("far", "m", {"usage": OPEN})
    await probes.keep("far", "m", {"tools": OPEN, "n": OPEN})
    assert probes.known("far", "m") == {"tools": YES, "n": NO, "usage": OPEN}


async def test_what_changes_is_told_and_what_does_not_is_not(file: Path) -> None:
    probes, told = Probes(file), list[dict[str, tuple[bool, int]]]()
    probes.changed = lambda: told.append(dict(probes.fields("far", "m")))
    await probes.keep("far", "m", {"tools": YES})
    await probes.keep("far", "m", {"tools": Finding(works=True, when=900)})
    await probes.keep("far", "m", {"tools": NO})
    assert told == [{"tools": (True, 100)}, {"tools": (False, 200)}]


async def test_a_failure_is_an_error_or_what_worked_before(file: Path) -> None:
    probes = Probes(file)

    async def failed(finding: Finding) -> bool:
        await probes.keep("far", "m", {"tools": finding})
        entry = probes.entry("far", "m")
        assert entry
        return entry.failed

    assert not await failed(NO)
    assert await failed(OPEN)
    assert not await failed(YES)
    assert await failed(NO)
    assert not await failed(NO)
    assert not await failed(Finding(why="it was cut off"))


async def test_several_processes_write_one_file(file: Path) -> None:
    one, two = Probes(file), Probes(file)
    await asyncio.gather(
        *(probes.keep("far", f"{name}-{i}", {"n": YES}) for i in range(10) for name, probes in (("1", one), ("2", two)))
    )
    assert len(json.loads(file.read_bytes())["found"]["far"]) == 20
    assert all(one.known("far", f"1-{i}") and two.known("far", f"2-{i}") for i in range(10))
    changed: list[bool] = []
    one.changed = lambda: changed.append(True)
    await two.keep("near", "m", {"n": NO})
    assert not one.known("near", "m")
    await one.read()
    assert one.known("near", "m") == {"n": NO}
    await one.read()
    assert changed == [True]


async def test_the_file_is_replaced_whole(file: Path) -> None:
    probes = Probes(file)
    await probes.keep("far", "m", {"n": YES})
    with file.open("rb") as reader:
        await probes.keep("far", "m", {"n": NO})
        assert json.load(reader)["found"]["far"]["m"]["fields"]["n"]["works"] is True
    assert Probes(file).known("far", "m") == {"n": NO}


async def test_money_is_counted_by_the_day(file: Path) -> None:
    clock = Clock()
    probes = Probes(file, clock)
    await probes.keep("far", "m", {"n": YES}, 0.02)
    await probes.pay(0.01)
    assert probes.spent == Probes(file, clock).spent == pytest.approx(0.03)
    clock.now += DAY
    assert probes.spent == 0
    await probes.pay(0.01)
    assert probes.spent == pytest.approx(0.01)


async def test_what_was_not_tried_for_a_month_is_forgotten(file: Path) -> None:
    clock = Clock()
    probes = Probes(file, clock)
    await probes.keep("far", "old", {"n": YES})
    clock.now += 31 * DAY
    await probes.keep("far", "new", {"n": YES})
    assert not probes.known("far", "old")
    assert probes.known("far", "new")


@pytest.mark.parametrize("content", [b"", b"{", b'{"found": 3}', b"\xff\xfe"])
async def test_a_broken_file_is_begun_anew_and_told(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "probes.json"
    file.write_bytes(content)
    probes = Probes(file)
    assert str(file) in caplog.text
    await probes.keep("far", "m", {"n": YES})
    assert Probes(file).known("far", "m") == {"n": YES}


async def test_a_file_that_can_not_be_written_costs_no_finding(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "wall").write_text("a file where a folder should be")
    probes, told = Probes(tmp_path / "wall" / "probes.json"), list[bool]()
    probes.changed = lambda: told.append(True)
    with caplog.at_level(logging.WARNING):
        await probes.keep("far", "m", {"n": YES})
    assert probes.known("far", "m") == {"n": YES}
    assert told == [True]
    assert "can't be kept" in caplog.text


async def test_without_a_file_findings_live_as_long_as_the_process() -> None:
    probes, told = Probes(Path()), list[bool]()
    probes.changed = lambda: told.append(True)
    await probes.keep("far", "m", {"n": YES}, 0.5)
    await probes.read()
    assert (probes.known("far", "m"), probes.spent, told) == ({"n": YES}, 0.5, [True])

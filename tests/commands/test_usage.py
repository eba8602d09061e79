"""``tertulia usage``."""

import asyncio
import time
from pathlib import Path

import pytest

from tertulia import cli
from tertulia.ledger.ledger import Ledger
from tertulia.types import Spent


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "ledger.db"
    monkeypatch.setenv("TERTULIA_LEDGER_PATH", str(path))
    return path


def fill(path: Path) -> None:
    async def spend() -> None:
        async with Ledger(path) as ledger:
            for _ in range(1200):
                ledger.spend(spent("ok", "groq", prompt_tokens=2, completion_tokens=1, cost=1000))
            ledger.spend(spent("failed_over", "together"))
            ledger.spend(spent("cancelled", "groq", completion_tokens=5, estimated=True))
            ledger.spend(Spent(request_id="r", token=0, caller="local", model="smollm2", provider="local"))

    def spent(outcome: str, provider: str, **more: int | bool) -> Spent:
        given = {"request_id": "r", "token": 1, "caller": "ana", "model": "org/big", "provider": provider}
        return Spent(**given, outcome=outcome, **more)  # pyright: ignore[reportArgumentType]

    asyncio.run(spend())


def lines(capsys: pytest.CaptureFixture[str], *words: str) -> list[list[str]]:
    assert cli.main(["usage", *words]) == 0
    return [[cell for cell in line.split("  ") if cell] for line in capsys.readouterr().out.splitlines()]


def test_it_sums_by_token_with_what_became_of_it(path: Path, capsys: pytest.CaptureFixture[str]):
    fill(path)
    assert [[cell.strip() for cell in line] for line in lines(capsys)] == [
        ["token", "requests", "tokens in", "tokens out", "cost", "outcomes"],
        ["ana (1)", "1,201", "~2,400", "~1,205", "$1.20", "ok 1,200, failed_over 1, cancelled 1"],
        ["local", "1", "0", "0", "$0.00", "ok 1"],
        ["all", "1,202", "~2,400", "~1,205", "$1.20", "ok 1,201, failed_over 1, cancelled 1"],
    ]


def test_it_sums_by_whatever_is_asked_for(path: Path, capsys: pytest.CaptureFixture[str]):
    fill(path)
    first = {by: [line[0].strip() for line in lines(capsys, "--by", by)[1:]] for by in ("provider", "model", "day")}
    assert first["provider"] == ["groq", "local", "together", "all"]
    assert first["model"] == ["org/big", "smollm2", "all"]
    assert first["day"] == [time.strftime("%Y-%m-%d")]


def test_what_is_older_is_left_out(path: Path, capsys: pytest.CaptureFixture[str]):
    fill(path)
    time.sleep(0.01)
    assert lines(capsys, "--since", "0h")[0][0].startswith("Nothing was asked since 20")
    assert len(lines(capsys, "--since", time.strftime("%Y-%m-%d"))) == 4


def test_an_empty_log_says_so(capsys: pytest.CaptureFixture[str]):
    assert lines(capsys)[0][0].startswith("Nothing was asked since 20")


def test_what_is_no_time_is_told(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["usage", "--since", "lately"]) == 1
    assert "'lately' is no time: 12h, 30d, 8w" in capsys.readouterr().err


def test_the_help_teaches(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        cli.main(["usage", "--help"])
    told = capsys.readouterr().out
    assert "Example:\n  tertulia usage" in told and max(map(len, told.splitlines())) <= 100

"""The access log: few writes, and no line is lost."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from echo import Echo
from tertulia.config import Config
from tertulia.server.app import running
from tertulia.server.lines import MOMENT, Form, Lines


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The records of the access log so far."""
    caplog.set_level("INFO", "tertulia.access")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "tertulia.access"]


async def test_lines_that_come_together_are_written_together_and_in_order(told: Callable[[], list[str]]) -> None:
    lines = Lines()
    for number in range(3):
        lines.add(f"line {number}")
    assert not told()
    await asyncio.sleep(2 * MOMENT)
    assert told() == ["line 0\nline 1\nline 2"]
    lines.add("more")
    await asyncio.sleep(2 * MOMENT)
    assert told()[1:] == ["more"]


async def test_what_is_urgent_is_written_at_once_behind_what_waits(told: Callable[[], list[str]]) -> None:
    lines = Lines()
    lines.add("first")
    lines.add("second", urgent=True)
    assert told() == ["first\nsecond"]
    await asyncio.sleep(2 * MOMENT)
    assert len(told()) == 1


def test_each_line_has_its_own_head_and_a_percent_sign_is_one() -> None:
    form = Form("%(levelname)s %(name)s: %(message)s")

    def record(name: str, text: str) -> str:
        return form.format(logging.LogRecord(name, logging.INFO, "", 0, text, (), None))

    assert record("tertulia.access", "a 100%\nb %s") == "INFO tertulia.access: a 100%\nINFO tertulia.access: b %s"
    assert record("tertulia.access", "a %s") == "INFO tertulia.access: a %s"
    assert record("tertulia.other", "a\nb") == "INFO tertulia.other: a\nb"


async def test_a_stop_loses_no_line(
    config: Config, told: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tertulia.server.lines.MOMENT", 60)
    async with running(Echo(), config) as address:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
        writer.write(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(5):
            await reader.read()
        writer.close()
        assert not told()
    (line,) = told()
    assert "'/nowhere' 404" in line

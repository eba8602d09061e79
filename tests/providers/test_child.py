"""A process of ours: it is there when it is needed, comes back when it dies, and goes when we go."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest

from echo import MODEL
from talk import until
from tertulia.errors import Timeout, Upstream
from tertulia.fold import fold
from tertulia.net import Net
from tertulia.providers.child import Child, Life
from tertulia.providers.remote import Remote
from tertulia.types import ChatRequest, Chunk, Message, ModelCard

TESTS = Path(__file__).parent.parent
Make = Callable[..., Child]


def said(content: str) -> ChatRequest:
    return ChatRequest(messages=[Message(role="user", content=content)])


async def all_of(answer: AsyncGenerator[Chunk, None]) -> list[Chunk]:
    return [chunk async for chunk in answer]


async def text(child: Child, content: str) -> str | None:
    return fold(await all_of(child.chat(said(content)))).choices[0].message.content


def alive(pid: int | None) -> bool:
    assert pid is not None
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.fixture
async def make() -> AsyncGenerator[Make, None]:
    async with Net() as net:
        children: list[Child] = []

        def make(*flags: str, **options: Any) -> Child:
            env = {**os.environ, "PYTHONPATH": str(TESTS)}
            argv = options.pop("argv", [sys.executable, "-m", "echo", *flags])
            child = Child(net, argv, env=env, **{"pause": 0.05, "grace": 0.5} | options)
            children.append(child)
            return child

        yield make
        for child in children:
            await child.stop()


async def test_starting_does_not_wait_and_a_chat_does(make: Make):
    child = make("--load", "0.3")
    began = time.monotonic()
    child.start()
    assert time.monotonic() - began < 0.05
    assert (child.state, child.ready) == ("loading", False)
    assert await text(child, "one two") == "one two"
    assert child.ready
    assert child.models()[0].id == MODEL
    assert await child.count(said("one two three")) == 3
    assert "tertulia_engine_things 3" in await child.metrics()


async def test_it_tells_how_it_is_since_when_and_how_often_it_died(make: Make):
    child = make(pause=0.01)
    told = child.tell()
    assert (told.state, told.memory, told.deaths, told.why) == ("stopped", None, 0, "")
    child.start()
    assert child.tell().state == "loading"
    await text(child, "one")
    told = child.tell()
    assert (told.id, told.state, told.deaths, told.why) == (child.name, "ready", 0, "")
    assert told.memory and told.memory > 1 << 20
    assert told.since == pytest.approx(time.time(), abs=5)
    assert child.pid
    os.kill(child.pid, signal.SIGKILL)
    await until(lambda: child.tell().deaths == 1 and child.ready, 10)
    assert "SIGKILL" in child.tell().why


async def test_a_chat_does_not_wait_for_ever(make: Make):
    child = make("--load", "30", first_timeout=0.3)
    child.start()
    with pytest.raises(Timeout, match=r"still loading after 0\.3 s"):
        await all_of(child.chat(said("one")))
    assert await child.metrics() == ""


@pytest.mark.parametrize(
    ("order", "how"), [("!die", "it ended with status 3; the log says more"), ("!kill", "it was killed by SIGKILL")]
)
async def test_a_death_is_told_to_who_waited_and_in_the_log_and_repaired(
    make: Make, order: str, how: str, caplog: pytest.LogCaptureFixture
):
    child = make()
    child.start()
    for before in ("", "one "):
        with pytest.raises(Upstream, match=f"local died while it was answering: {how}"):
            await all_of(child.chat(said(before + order)))
        assert await text(child, "again") == "again"
    assert f"local: {how}; starting it again in 0.05 s" in caplog.text
    assert order != "!die" or "the last that it said was: about to die" in caplog.text


async def test_what_was_said_before_a_death_is_given(make: Make):
    child = make()
    child.start()
    answer = child.chat(said("one !0.1 !kill"))
    assert (await anext(answer)).choices[0].delta.content == "one"
    with pytest.raises(Upstream, match="SIGKILL"):
        await anext(answer)


async def test_an_error_of_the_backend_is_not_a_death(make: Make):
    child = make()
    child.start()
    await text(child, "one")
    pid = child.pid
    with pytest.raises(Upstream, match="the backend was cut off"):
        await all_of(child.chat(said("!upstream")))
    assert child.pid == pid and child.ready


async def test_one_that_cannot_start_is_given_up_waiting_for_and_tried_again(
    make: Make, caplog: pytest.LogCaptureFixture
):
    child = make("--fail", pause=0.02)
    child.start()
    with pytest.raises(Upstream, match="local is not running: it ended with status 1: error: the model is not there"):
        await all_of(child.chat(said("one")))
    deaths = caplog.text.count("starting it again")
    assert "starting it again in 0.02 s" in caplog.text and "starting it again in 0.04 s" in caplog.text
    await until(lambda: caplog.text.count("starting it again") > deaths)
    began = time.monotonic()
    with pytest.raises(Upstream):
        await all_of(child.chat(said("one")))
    assert time.monotonic() - began < 0.05


async def test_a_program_that_is_not_there_is_told(make: Make):
    child = make(argv=["/nowhere/program"])
    child.start()
    with pytest.raises(Upstream, match=r"it can't be started: .*No such file"):
        await all_of(child.chat(said("one")))


async def test_a_program_that_is_not_there_is_looked_for_again_when_it_is_asked_for(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    file = tmp_path / "program"
    child = make(argv=[str(file)], pause=0.02)
    child.start()
    await until(lambda: child.state == "stopped")
    await asyncio.sleep(0.2)
    assert caplog.text.count("No such file") == 1, "it is not tried again while nobody asks"
    for attempt in (2, 3, 4, 5):
        with pytest.raises(Upstream, match="No such file"):
            await all_of(child.chat(said("one")))
        assert caplog.text.count("No such file") == attempt
    file.write_text(f'#!/bin/sh\nexec {sys.executable} -m echo "$@"\n')
    file.chmod(0o700)
    assert await text(child, "one two") == "one two"
    await child.stop()
    assert not child._room.exists()  # type: ignore[attr-defined]
    with pytest.raises(Upstream, match="it was stopped"):
        await all_of(child.chat(said("one")))


async def test_one_that_is_not_there_can_be_stopped(make: Make):
    child = make(argv=["/nowhere/program"])
    child.start()
    await until(lambda: child.state == "stopped")
    child.start()
    assert child.state == "loading"
    await child.stop()
    assert child.state == "stopped" and not child._room.exists()  # type: ignore[attr-defined]


async def test_who_waits_for_one_that_does_not_get_ready_is_told_at_once_what_it_said(make: Make):
    child = make(
        argv=["/bin/sh", "-c", "trap '' TERM; echo no GPU here; sleep 60 & wait; wait"], load_timeout=0.4, grace=2
    )
    child.start()
    began = time.monotonic()
    for _ in range(2):  # who comes later doesn't wait either
        with pytest.raises(Upstream, match=r"it was not ready after 0\.4 s: .*; it last said: no GPU here"):
            await all_of(child.chat(said("one")))
    assert 0.4 <= time.monotonic() - began < 1.5


async def test_one_that_gets_ready_the_second_time_serves(make: Make, tmp_path: Path):
    mark = tmp_path / "mark"
    script = f'[ -e {mark} ] && exec "$0" -m echo "$@"; touch {mark}; exec sleep 60'
    child = make(argv=["/bin/sh", "-c", script, sys.executable], load_timeout=0.3)
    child.start()
    with pytest.raises(Upstream, match="it was not ready"):
        await all_of(child.chat(said("one")))
    child._load_timeout = 10  # type: ignore[attr-defined]
    await until(lambda: child.ready, 10)
    assert await text(child, "one two") == "one two"


async def test_one_that_never_gets_ready_is_ended(make: Make):
    child = make("--load", "30", load_timeout=0.3, patience=1)
    child.start()
    with pytest.raises(Upstream, match=r"it was not ready after 0\.3 s"):
        await all_of(child.chat(said("one")))


async def test_stopping_ends_it_and_leaves_nothing(make: Make):
    child = make()
    child.start()
    await text(child, "one")
    pid, room = child.pid, child._room  # type: ignore[attr-defined]
    assert alive(pid) and room.exists() and room.stat().st_mode & 0o777 == 0o700
    await child.stop()
    assert (alive(pid), room.exists(), child.state) == (False, False, "stopped")
    with pytest.raises(Upstream, match="it was stopped"):
        await all_of(child.chat(said("one")))


async def test_stopping_one_that_is_just_being_ended_waits_for_it(make: Make):
    child = make("--deaf", grace=0.5, check=0.05, deaf=0.2)
    child.start()
    await text(child, "one")
    pid = child.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    await until(lambda: not child.ready)
    assert alive(pid)
    await child.stop()
    assert not alive(pid)


async def test_one_that_does_not_listen_is_killed(make: Make):
    child = make("--deaf", grace=0.2)
    child.start()
    await text(child, "one")
    pid = child.pid
    await child.stop()
    assert not alive(pid)


@pytest.mark.parametrize("order", ["", "!die"])
async def test_what_it_started_itself_ends_with_it(make: Make, order: str, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    script = 'sleep 300 & echo "beside it: $!"; exec "$0" -m echo "$@"'
    child = make(argv=["/bin/sh", "-c", script, sys.executable])
    child.start()
    await text(child, "one")
    beside = int(caplog.text.partition("beside it: ")[2].split()[0])
    assert alive(beside)
    if order:
        with pytest.raises(Upstream, match="status 3"):
            await all_of(child.chat(said(order)))
        await until(lambda: not alive(beside))
    else:
        await child.stop()
        assert not alive(beside)


async def test_one_that_lives_but_does_not_answer_is_replaced(make: Make):
    child = make(check=0.1, deaf=0.4)
    child.start()
    await text(child, "one")
    await asyncio.sleep(0.6)
    pid = child.pid
    assert child.ready and alive(pid), "one that says nothing but answers its checks is well"
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(Upstream, match=r"died while it was answering: it answered nothing for 0\.4 s"):
        await all_of(child.chat(said("two")))
    assert await text(child, "three") == "three"
    assert not alive(pid)


async def test_one_that_answers_a_chat_is_well_whatever_its_checks_say():
    async with Net() as net:
        asked = 0

        def begin(socket: Path) -> Life:
            remote = Remote(net, f"unix:{socket}")

            async def ready() -> list[ModelCard]:
                nonlocal asked
                await remote.healthy()
                asked += 1
                if asked > 1:
                    raise Upstream("too busy to say")
                return []

            return Life([sys.executable, "-m", "echo", "--socket", str(socket)], remote, ready)

        child = Child(net, [], begin=begin, env={**os.environ, "PYTHONPATH": str(TESTS)}, check=0.1, deaf=0.4)
        child.start()
        try:
            words = " ".join(f"!0.1 {number}" for number in range(8))
            assert (await text(child, words) or "").endswith("7")
            assert asked > 3
            await until(lambda: not child.ready)
        finally:
            await child.stop()


async def test_closing_an_answer_stops_the_work_there(make: Make):
    child = make()
    child.start()
    answer = child.chat(said("one !stall"))
    await anext(answer)
    await answer.aclose()
    async with asyncio.timeout(2):
        while "hung_up" not in await _figures(child):
            await asyncio.sleep(0.02)


async def _figures(child: Child) -> str:
    assert child._remote  # type: ignore[attr-defined]
    reply = await child._net.send("GET", child._remote.address, "/metrics")  # type: ignore[attr-defined]
    return (await reply.read()).decode()


def test_it_dies_with_its_parent_however_that_dies():
    code = (
        "import asyncio, sys\n"
        "from tertulia.net import Net\n"
        "from tertulia.providers.child import Child\n"
        "async def main():\n"
        "    child = Child(Net(), [sys.executable, '-m', 'echo'])\n"
        "    child.start()\n"
        "    while not child.ready: await asyncio.sleep(0.01)\n"
        "    print(child.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    env = {**os.environ, "PYTHONPATH": str(TESTS)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=env) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 3
    while alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)

"""An engine that works and has nothing to tell says so; one that hangs does not."""

import asyncio
import threading
from contextlib import aclosing
from typing import Any

import pytest

from asking import Start, request, stream
from tertulia import config
from tertulia.engine.batch import Batch
from tertulia.fold import Fold
from tertulia.net import Net
from tertulia.providers.remote import Remote
from tertulia.server.app import running
from tertulia.types import Completion


async def test_who_lost_his_memory_to_others_is_told_that_the_work_goes_on(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through two servers that give up after half a second of silence: it waits longer than that for its turn."""
    monkeypatch.setattr("tertulia.engine.engine.PULSE", 0.05)
    engine = await start(kv=20 * 60_000)
    child, gateway = config.Config(), config.Config()
    for one, idle in ((child, 0), (gateway, 0.5)):
        one.server.port, one.server.idle_timeout, one.server.grace = 0, idle, 0.2
    signs = 0
    async with running(engine, child) as inner, Net() as net:
        remote = Remote(net, inner, idle_timeout=0.5)
        async with running(remote, gateway) as outer:
            line = Remote(net, outer, idle_timeout=0.5)

            async def talk(seed: int) -> Completion:
                nonlocal signs
                whole = Fold()
                async with aclosing(line.chat(request("the of", max_tokens=450, seed=seed))) as chunks:
                    async for chunk in chunks:
                        signs += chunk.sign_of_life
                        whole.add(chunk)
                return whole.completion()

            answers = await asyncio.gather(*(talk(seed) for seed in range(16)))
    assert [answer.usage.completion_tokens for answer in answers] == [450] * 16
    assert signs > 0
    assert engine._figures.counters["preemptions"] > 0


async def test_an_engine_that_makes_no_passes_gives_no_sign_of_life(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tertulia.engine.engine.PULSE", 0.02)
    engine = await start()
    forward, stuck = engine._model.forward, threading.Event()

    def hang(batch: Batch) -> Any:
        stuck.wait(2)
        return forward(batch)

    engine._model.forward = hang
    waiting = asyncio.create_task(stream(engine, request(max_tokens=1)))
    await asyncio.sleep(0.3)
    stuck.set()
    assert not any(chunk.sign_of_life for chunk in await waiting)

"""Providers are tested on the loop that ``tertulia serve`` runs on."""

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest
import uvloop

from tertulia.net import Net


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def net() -> AsyncGenerator[Net, None]:
    async with Net(connect_timeout=0.5) as net:
        yield net

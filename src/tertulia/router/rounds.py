"""The background check: the models in use are probed from time to time, within a budget."""

import asyncio
import logging
import time
from collections.abc import Callable

from tertulia.config import Router as Settings
from tertulia.errors import ConfigError, TertuliaError
from tertulia.router.checks import Picture
from tertulia.router.findings import Probes
from tertulia.router.index import Index
from tertulia.router.order import LOCAL, Candidate, Wish
from tertulia.router.probe import Finding, Purse, probe

log = logging.getLogger("tertulia.router")

EVERY = 6 * 3600.0
AGAIN = 3600.0
"""Seconds between two probes of a model, and after one that failed."""
LATELY = 24 * 3600.0
"""Seconds for which a model counts as in use."""
MOST = 256
"""Models in use that are remembered."""
TICK = 60.0
PAUSE = 5.0
"""Seconds between two looks at what is due, and between two probes."""
USUAL = (800, 300)
"""Tokens that a probe of a small model reads and writes: what is to be had before one begins."""


async def look(candidate: Candidate, probes: Probes, settings: Settings, purse: Purse) -> dict[str, Finding]:
    """Probe ``candidate`` as configured. An image is tried unless the catalog says that the model has no eyes."""
    known = probes.known(candidate.provider, candidate.model)
    # A model of this machine may have to be loaded first.
    patience = settings.whole_timeout if candidate.provider == LOCAL else settings.first_timeout + settings.idle_timeout
    return await probe(
        candidate.backend,
        candidate.id,
        sees="image" in known or candidate.fields.get("image", True),
        timeout=patience or TICK,
        purse=purse,
        picture=picture(settings),
    )


def picture(settings: Settings) -> Picture | None:
    """The image that is probed by its address. Raises ConfigError."""
    match settings.probe_image:
        case []:
            return None
        case [url, word] if url.startswith(("http://", "https://")):
            return Picture(url, word)
        case _:
            raise ConfigError(
                'probe_image in [router] is an address and a word: ["https://example.org/cat.png", "cat"]'
            )


class Rounds:
    """Probes the models that were ``used`` of late, one at a time, each in ``EVERY`` seconds. Whatever is
    configured, what other processes found is read from the file."""

    def __init__(
        self,
        probes: Probes,
        index: Index,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        pause: float = PAUSE,
        tick: float = TICK,
    ) -> None:
        self._probes = probes
        self._index = index
        self._settings = settings
        self._clock = clock
        self._pause = pause
        self._tick = tick
        self._used: dict[tuple[str, str], float] = {}
        self._said: set[tuple[str, ...]] = set()
        self._task: asyncio.Task[None] | None = None
        picture(settings)  # what is wrong is told at the start

    def used(self, provider: str, model: str) -> None:
        """``model`` (its id here) was just asked at ``provider``."""
        if self._settings.probe:
            self._used.pop((provider, model), None)
            self._used[provider, model] = self._clock()
            if len(self._used) > MOST:
                del self._used[next(iter(self._used))]

    def start(self) -> None:
        """Begin; :meth:`stop` ends it."""
        self._task = asyncio.create_task(self._run(), name="rounds")
        self._task.add_done_callback(_tell)

    async def stop(self) -> None:
        """End at once; a probe that is under way is given up, and what it cost so far is kept."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _run(self) -> None:
        while True:
            await self._probes.read()
            if self._settings.probe:
                await self.go()
            await asyncio.sleep(self._tick)

    async def go(self) -> None:
        """One round: probe whatever is due."""
        now = self._clock()
        for pair, when in list(self._used.items()):
            if when < now - LATELY:
                del self._used[pair]
            elif self._due(*pair) and (candidate := self._find(*pair)) and (purse := self._purse(candidate)):
                await self._probe(candidate, purse)
                await asyncio.sleep(self._pause)

    def _find(self, provider: str, model: str) -> Candidate | None:
        try:
            return next(iter(self._index.find(Wish(model, provider=provider))), None)
        except TertuliaError:  # it is gone, or has no key any more
            return None

    def _due(self, provider: str, model: str) -> bool:
        entry = self._probes.entry(provider, model)
        return entry is None or self._clock() - entry.tried >= (AGAIN if entry.failed else EVERY)

    def _purse(self, candidate: Candidate) -> Purse | None:
        """What a probe of ``candidate`` may spend; None where that is not enough for one, or can't be told."""
        price, most = candidate.price, self._settings.probe_price
        if candidate.provider == LOCAL:
            price = (0.0, 0.0)
        elif price is None and most:
            price = (most, most)
        if price is None:
            self._say(candidate, "its price is not known; probe_price in [router] says what to take for it")
            return None
        left = max(self._settings.probe_budget - self._probes.spent, 0.0)
        entry = self._probes.entry(candidate.provider, candidate.model)
        usual = (price[0] * USUAL[0] + price[1] * USUAL[1]) / 1e6
        if left < max(usual, entry.cost if entry else 0.0):
            self._say(candidate, f"${left:.4f} of today's probe_budget are left, and ${usual:.4f} at least are needed")
            return None
        return Purse(left, price)

    async def _probe(self, candidate: Candidate, purse: Purse) -> None:
        found: dict[str, Finding] = {}
        try:
            found = await look(candidate, self._probes, self._settings, purse)
        finally:
            if not found and purse.spent:
                await self._probes.pay(purse.spent)
        await self._probes.keep(candidate.provider, candidate.model, found, purse.spent)
        log.info("probed %s:%s for $%.6f: %s", candidate.model, candidate.provider, purse.spent, _sum(found))

    def _say(self, candidate: Candidate, why: str) -> None:
        """Log ``why`` a candidate is not checked, once a day."""
        if len(self._said) > 4 * MOST:
            self._said.clear()
        mark = (candidate.provider, candidate.model, time.strftime("%F", time.gmtime(self._clock())))
        if mark not in self._said:
            self._said.add(mark)
            log.warning("%s:%s is not probed: %s", candidate.model, candidate.provider, why)


def _sum(found: dict[str, Finding]) -> str:
    words = {True: "works", False: "doesn't", None: "unknown"}
    return ", ".join(f"{name} {words[finding.works]}" for name, finding in found.items())


def _tell(task: asyncio.Task[None]) -> None:
    """A task that ends by itself has found a defect."""
    if not task.cancelled() and (error := task.exception()):
        log.error("the background check has ended", exc_info=error)

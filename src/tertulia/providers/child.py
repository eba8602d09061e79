"""A process that we start, watch and restart, serving the same wire on a Unix socket, as a Backend."""

import asyncio
import contextlib
import logging
import shutil
import signal
import tempfile
from asyncio.subprocess import PIPE, STDOUT, Process
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from tertulia.errors import Timeout, Upstream
from tertulia.net import Net
from tertulia.providers.remote import Remote
from tertulia.types import ChatRequest, Chunk, ModelCard

log = logging.getLogger("tertulia.child")
State = Literal["loading", "ready", "restarting", "stopped"]

HEALTHY = 60
"""Seconds of life after which a death is a first death again."""
LONGEST_PAUSE = 30


class Child:
    """``argv`` with ``--socket PATH`` behind it is started by :meth:`start`, which doesn't wait for it, and ended by
    :meth:`stop`. When it dies it is started again: after ``pause`` seconds, then twice that, up to 30, until it has
    lived for a minute.

    While it loads, chats wait for it, up to ``first_timeout``. Once it has died ``patience`` times without getting
    ready they fail at once and say why it died; it is tried again all the same. Its standard input is a pipe of ours:
    when that ends, we are gone.
    """

    def __init__(
        self,
        net: Net,
        argv: Sequence[str],
        *,
        name: str = "local",
        env: Mapping[str, str] | None = None,
        cards: Iterable[ModelCard] = (),
        first_timeout: float = 60,
        idle_timeout: float = 30,
        load_timeout: float = 300,
        grace: float = 5,
        pause: float = 0.5,
        patience: int = 3,
    ) -> None:
        self.name = name
        self.state: State = "stopped"
        self._net = net
        self._argv = list(argv)
        self._env = env
        self._first_timeout = first_timeout
        self._load_timeout = load_timeout
        self._grace = grace
        self._pause = pause
        self._patience = patience
        self._remote = Remote(
            net, "unix:", name=name, first_timeout=first_timeout, idle_timeout=idle_timeout, cards=cards
        )
        self._room = Path()
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._why = "it was not started"
        self._lives = 0
        self._failures = 0
        self._said: deque[str] = deque(maxlen=20)

    @property
    def ready(self) -> bool:
        return self.state == "ready"

    @property
    def pid(self) -> int | None:
        """The process there is now."""
        return self._process.pid if self._process else None

    # ---------------------------------------------------------------- as a Backend

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        await self._available()
        life = self._lives
        answer = self._remote.chat(request)
        try:
            async for chunk in answer:
                yield chunk
        except Timeout:
            raise
        except Upstream as error:
            raise await self._explain(error, life) from error
        finally:
            await answer.aclose()

    async def count(self, request: ChatRequest) -> int:
        await self._available()
        return await self._remote.count(request)

    def models(self) -> list[ModelCard]:
        return self._remote.models()

    def supports(self, request: ChatRequest) -> list[str]:
        return self._remote.supports(request)

    async def metrics(self) -> str:
        """The engine's figures; none while there is no engine."""
        try:
            return await self._remote.metrics() if self.ready else ""
        except Upstream:
            return ""

    async def _available(self) -> None:
        """Return when the child is ready. Raises Upstream if it won't be, Timeout if it takes too long."""
        if self.ready:
            return
        try:
            async with asyncio.timeout(self._first_timeout or None):
                while not self.ready:
                    if self.state == "stopped" or self._failures >= self._patience:
                        raise Upstream(f"{self.name} is not running: {self._why}", retry_after=5)
                    await self._changed.wait()
        except TimeoutError:
            raise Timeout(f"{self.name} is still loading after {self._first_timeout:g} s", retry_after=5) from None

    async def _explain(self, error: Upstream, life: int) -> Upstream:
        """``error``, with the reason if the child has died of it: the connection breaks before the exit is known."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while self.state == "ready" and self._lives == life:
                    await self._changed.wait()
        if self.state == "ready" and self._lives == life:
            return error
        return Upstream(f"{self.name} died while it was answering: {self._why}")

    # ---------------------------------------------------------------- its life

    def start(self) -> None:
        """Start it, and keep it alive from here on."""
        if self._task is None:
            self._room = Path(tempfile.mkdtemp(prefix="tertulia-"))  # mode 0700: nobody else can connect
            self._become("loading")
            self._task = asyncio.get_running_loop().create_task(self._keep_alive())

    async def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL after ``grace`` seconds."""
        self._why = "it was stopped"
        self._become("stopped")
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
            shutil.rmtree(self._room, ignore_errors=True)

    def _become(self, state: State) -> None:
        self.state = state
        self._changed.set()
        self._changed = asyncio.Event()

    async def _keep_alive(self) -> None:
        now = asyncio.get_running_loop().time
        pause = self._pause
        while True:
            born = now()
            try:
                self._why = await self._live()
            except OSError as error:
                self._why = f"it can't be started: {error}"
            if self.state == "loading":
                self._failures += 1
            if now() - born >= HEALTHY:
                pause = self._pause
            self._become("restarting")
            log.error("%s: %s; starting it again in %g s", self.name, self._why, pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            self._become("loading")

    async def _live(self) -> str:
        """One life of the process; returns why it ended."""
        self._lives += 1
        self._said.clear()
        socket = self._room / f"{self._lives}.sock"
        address = self._remote.address = f"unix:{socket}"
        process = self._process = await asyncio.create_subprocess_exec(
            *self._argv,
            "--socket",
            str(socket),
            stdin=PIPE,
            stdout=PIPE,
            stderr=STDOUT,
            env=self._env,
            start_new_session=True,  # Ctrl-C is for us: we decide when it stops
        )
        listening = asyncio.create_task(self._listen(process))
        try:
            late = not await self._get_ready(process)
            if late:
                return f"it was not ready after {self._load_timeout:g} s"
            await process.wait()
            await asyncio.wait([listening], timeout=1)
            return self._last_words(process.returncode or 0)
        finally:
            await self._end(process)
            listening.cancel()
            self._process = None
            await self._net.forget(address)

    async def _get_ready(self, process: Process) -> bool:
        """Ask until it is ready. False if it took too long; True also if it died of it."""
        now = asyncio.get_running_loop().time
        born = now()
        pause = 0.02
        while process.returncode is None:
            with contextlib.suppress(Upstream):
                if await self._remote.healthy():
                    await self._remote.refresh()
                    self._failures = 0
                    self._become("ready")
                    log.info("%s: ready after %.1f s", self.name, now() - born)
                    return True
            if self._load_timeout and now() - born > self._load_timeout:
                return False
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.25)
        return True

    async def _listen(self, process: Process) -> None:
        """What the child says goes to the log; its last lines are kept for its obituary."""
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # a line without end
                continue
            if not line:
                return
            text = line.decode("utf-8", "replace").rstrip()
            self._said.append(text)
            log.info("%s: %s", self.name, text)

    def _last_words(self, status: int) -> str:
        try:
            how = f"ended with status {status}" if status >= 0 else f"was killed by {signal.Signals(-status).name}"
        except ValueError:
            how = f"was killed by signal {-status}"
        words = " | ".join([line for line in self._said if line.strip()][-3:])[:500]
        if not words:
            return f"it {how}"
        if self.state == "ready":  # its lines may be of other callers' requests: they are for the log
            log.error("%s: the last that it said was: %s", self.name, words)
            return f"it {how}; the log says more"
        return f"it {how}: {words}"

    async def _end(self, process: Process) -> None:
        if process.stdin is not None:
            process.stdin.close()
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
            try:
                async with asyncio.timeout(self._grace):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

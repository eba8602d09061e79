"""A process that we start, watch and restart, as a Backend."""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import tempfile
import time
from asyncio.subprocess import PIPE, STDOUT, Process
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from msgspec import Struct

from tertulia.errors import TertuliaError, Timeout, Upstream
from tertulia.net import Net
from tertulia.providers.remote import Remote
from tertulia.types import ChatRequest, Chunk, ModelCard

log = logging.getLogger("tertulia.child")
State = Literal["loading", "ready", "restarting", "stopped"]

HEALTHY = 60
"""Seconds of life after which a death is a first death again."""
LONGEST_PAUSE = 30


class Life(NamedTuple):
    """A life that is about to begin: what is run, how it is reached, and how one learns that it is ready. ``ready``
    returns the models that it tells of, and raises a TertuliaError, which says what is missing, until then."""

    argv: Sequence[str]
    remote: Remote
    ready: Callable[[], Awaitable[list[ModelCard]]]


class Vitals(Struct, frozen=True):
    """A child as it is now. ``since`` is the Unix time of its state, ``memory`` the bytes that it has resident (None
    where there is no process), ``deaths`` how often it was started again, ``why`` what ended it last."""

    id: str
    state: State
    since: float
    memory: int | None
    deaths: int
    why: str


Begin = Callable[[Path], Life]
"""Plans a life, given a path for a Unix socket, where nothing is yet. Raises OSError where there can be none."""


class Child:
    """A process that is started by :meth:`start`, which doesn't wait for it, and ended by :meth:`stop`, with all that
    it started itself. ``begin`` plans each of its lives; without it ``argv`` is run with ``--socket PATH`` behind it.
    When it dies it is started again: after ``pause`` seconds, then twice that, up to 30, until it has lived for a
    minute.

    While it loads, chats wait for it, up to ``first_timeout``. Once it has died ``patience`` times without getting
    ready, or has not got ready in ``load_timeout`` seconds, they fail at once and say why; it is tried again all the
    same. Only a program that is not there is not tried again until a chat asks for it. With ``check`` it is asked every
    so many seconds whether it is still ready: where it has answered neither that nor a chat for ``deaf`` seconds, that
    life is over. Its standard input is a pipe of ours: when that ends, we are gone.
    """

    def __init__(
        self,
        net: Net,
        argv: Sequence[str],
        *,
        begin: Begin | None = None,
        name: str = "local",
        env: Mapping[str, str] | None = None,
        cards: Iterable[ModelCard] = (),
        first_timeout: float = 60,
        idle_timeout: float = 30,
        load_timeout: float = 300,
        grace: float = 5,
        pause: float = 0.5,
        patience: int = 3,
        check: float = 0,
        deaf: float = 60,
    ) -> None:
        self.name = name
        self.state: State = "stopped"
        self._net = net
        self._argv = list(argv)
        self._begin = begin or self._by_socket
        self._env = env
        self._cards = list(cards)
        self._first_timeout = first_timeout
        self._idle_timeout = idle_timeout
        self._load_timeout = load_timeout
        self._grace = grace
        self._pause = pause
        self._patience = patience
        self._check = check
        self._deaf = deaf
        self._heard = 0.0
        self._remote: Remote | None = None
        self._room = Path()
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._why = "it was not started"
        self._since = time.time()
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

    def tell(self) -> Vitals:
        """How it is."""
        deaths = max(self._lives - 1, 0)
        why = self._why if deaths or (self._lives and self.state in ("restarting", "stopped")) else ""
        return Vitals(self.name, self.state, self._since, _memory(self.pid), deaths, why)

    # ---------------------------------------------------------------- as a Backend

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        remote, life = await self._available(), self._lives
        now = asyncio.get_running_loop().time
        answer = remote.chat(request)
        try:
            async for chunk in answer:
                self._heard = now()
                yield chunk
        except Timeout:
            raise
        except Upstream as error:
            raise await self._explain(error, life) from error
        finally:
            await answer.aclose()

    async def count(self, request: ChatRequest) -> int:
        return await (await self._available()).count(request)

    def models(self) -> list[ModelCard]:
        """What it told when it was last asked."""
        return self._cards

    def supports(self, request: ChatRequest) -> list[str]:
        return self._remote.supports(request) if self._remote else []

    async def metrics(self) -> str:
        """The engine's figures; none while there is no engine."""
        try:
            return await self._remote.metrics() if self._remote and self.ready else ""
        except Upstream:
            return ""

    async def _available(self) -> Remote:
        """How it is reached, once it is ready. Raises Upstream if it won't be, Timeout if it takes too long."""
        if self._task is not None:
            self.start()  # if it was given up
        try:
            async with asyncio.timeout(self._first_timeout or None):
                while True:
                    if self.ready and self._remote:
                        return self._remote
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
        elif not self._task.done():
            return
        self._failures = 0
        self._become("loading")
        self._task = asyncio.get_running_loop().create_task(self._keep_alive())

    async def stop(self) -> None:
        """End it and what it started: SIGTERM, and SIGKILL after ``grace`` seconds."""
        self._why = "it was stopped"
        self._become("stopped")
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            if self._ending is not None:
                await self._ending
            self._task = None
            shutil.rmtree(self._room, ignore_errors=True)

    def _become(self, state: State) -> None:
        self._since = time.time()
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
            except FileNotFoundError as error:  # time alone won't bring it
                self._why = f"it can't be started: {error}"
                log.error("%s: %s; it is tried again when it is asked for", self.name, self._why)
                self._become("stopped")
                return
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

    def _by_socket(self, socket: Path) -> Life:
        remote = Remote(
            self._net,
            f"unix:{socket}",
            name=self.name,
            first_timeout=self._first_timeout,
            idle_timeout=self._idle_timeout,
        )

        async def ready() -> list[ModelCard]:
            if not await remote.healthy():
                raise Upstream("it is still loading")
            return await remote.refresh()

        return Life([*self._argv, "--socket", str(socket)], remote, ready)

    async def _live(self) -> str:
        """One life of the process; returns why it ended."""
        self._lives += 1
        self._said.clear()
        life = self._begin(self._room / f"{self._lives}.sock")
        self._remote = life.remote
        process = self._process = await asyncio.create_subprocess_exec(
            *life.argv,
            stdin=PIPE,
            stdout=PIPE,
            stderr=STDOUT,
            env=self._env,
            start_new_session=True,  # Ctrl-C is for us: we decide when it stops
        )
        listening = asyncio.create_task(self._listen(process))
        try:
            if late := await self._get_ready(life, process):
                self._why, self._failures = late, max(self._failures + 1, self._patience)
                self._become("restarting")
                return late
            if deaf := await self._watch(life, process):
                self._why = deaf
                self._become("restarting")  # it takes a while to end, and nobody shall ask it meanwhile
                return deaf
            _signal(process, signal.SIGKILL)  # what it has left behind
            await asyncio.wait([listening], timeout=1)
            return self._last_words(process.returncode or 0)
        finally:
            self._ending = asyncio.create_task(self._end(process, listening, life.remote.address))
            await asyncio.shield(self._ending)  # whoever stops us meanwhile waits for it

    async def _get_ready(self, life: Life, process: Process) -> str:
        """Ask until it is ready, or has died of it. Says so if it took too long."""
        now = asyncio.get_running_loop().time
        born = now()
        pause = 0.02
        while process.returncode is None:
            try:
                self._cards = await life.ready() or self._cards
            except TertuliaError as error:
                missing = error.message
            else:
                self._failures = 0
                self._become("ready")
                log.info("%s: ready after %.1f s", self.name, now() - born)
                return ""
            if self._load_timeout and now() - born > self._load_timeout:
                words = self._words()
                late = f"it was not ready after {self._load_timeout:g} s: {missing}"
                return f"{late}; it last said: {words}" if words else late
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.25)
        return ""

    async def _watch(self, life: Life, process: Process) -> str:
        """Wait until it ends. Says so if it lives but doesn't answer any more."""
        now = asyncio.get_running_loop().time
        self._heard = now()
        missing = ""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._check or None):
                    await process.wait()
                    return ""
            try:
                async with asyncio.timeout(self._check):
                    self._cards = await life.ready() or self._cards
                self._heard = now()
            except (TertuliaError, TimeoutError) as error:
                missing = f": {error.message}" if isinstance(error, TertuliaError) else ""
            if now() - self._heard > self._deaf:
                return f"it answered nothing for {self._deaf:g} s{missing}"

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

    def _words(self) -> str:
        return " | ".join([line for line in self._said if line.strip()][-3:])[:500]

    def _last_words(self, status: int) -> str:
        try:
            how = f"ended with status {status}" if status >= 0 else f"was killed by {signal.Signals(-status).name}"
        except ValueError:
            how = f"was killed by signal {-status}"
        words = self._words()
        if not words:
            return f"it {how}"
        if self.state == "ready":  # its lines may be of other callers' requests: they are for the log
            log.error("%s: the last that it said was: %s", self.name, words)
            return f"it {how}; the log says more"
        return f"it {how}: {words}"

    async def _end(self, process: Process, listening: asyncio.Task[None], address: str) -> None:
        """The end of a life."""
        running = process.returncode is None
        if running:
            _signal(process, signal.SIGTERM)
        if process.stdin is not None:
            process.stdin.close()
        if running:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._grace):
                    await process.wait()
        _signal(process, signal.SIGKILL)
        await process.wait()
        await asyncio.wait([listening], timeout=1)  # its output ends with it; a pipe left open would outlive the loop
        listening.cancel()
        self._process = None
        await self._net.forget(address)


def _memory(pid: int | None) -> int | None:
    """The bytes of memory that a process has resident, where the system tells."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if pid else None
    except (OSError, IndexError, ValueError):
        return None


def _signal(process: Process, number: signal.Signals) -> None:
    """Tell the process and all that it started, which is one group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)

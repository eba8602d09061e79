"""A provider that is a program on this machine: started, watched, stopped, and reached like any other."""

import errno
import shutil
import socket
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import structs

from tertulia.errors import ConfigError, TertuliaError, Upstream
from tertulia.net import Net
from tertulia.providers.child import Child, Life, Vitals
from tertulia.providers.remote import Remote
from tertulia.providers.table import Row
from tertulia.types import ChatRequest, Chunk, ModelCard

PORT = "{port}"
_HERE = f"http://127.0.0.1:{PORT}/v1"
_LEASH = """exec 3<&0 </dev/null
{ cat <&3; trap "" TERM; kill -TERM 0; sleep 5; kill -KILL 0; } >/dev/null 2>&1 &
exec 3<&-
exec "$@"
"""
"""What a shell does before it becomes the program: it leaves one behind that reads our pipe. When that ends without our
having stopped the program, we were killed, and whatever is left of the program's group has to go too."""
_NOT_THERE = (404, 405, 501)


class Program:
    """A row with a ``command``. It is started when it is first asked for, or with ``eager`` by :meth:`start`; from then
    on it is a :class:`Child`, and :meth:`stop` ends it with all that it started.

    ``{port}`` in the command and in ``base_url`` becomes a port that is free, another one for each life; without a
    ``base_url`` it is ``http://127.0.0.1:{port}/v1``. It is ready once ``health``, a path, answers with success. Where
    the row names none that is ``/health``, and where there is none either, the list of models. Then it is asked every
    ``check`` seconds. ``connect`` makes the Remote for a row.

    Raises ConfigError for a row that can't be reached.
    """

    def __init__(
        self,
        net: Net,
        row: Row,
        connect: Callable[[Row], Remote],
        *,
        env: Mapping[str, str] | None = None,
        eager: bool = False,
        first_timeout: float = 60,
        load_timeout: float = 600,
        grace: float = 10,
        pause: float = 0.5,
        check: float = 15,
        deaf: float = 60,
    ) -> None:
        self._net = net
        self._row = _settle(row)
        self._connect = connect
        self._env = env
        self._eager = eager
        self._over = False
        self._child = Child(
            net,
            row.command,
            begin=self._begin,
            name=row.name,
            env=env,
            first_timeout=first_timeout,
            load_timeout=load_timeout,
            grace=grace,
            pause=pause,
            check=check,
            deaf=deaf,
        )

    @property
    def state(self) -> str:
        return self._child.state

    @property
    def ready(self) -> bool:
        return self._child.ready

    @property
    def pid(self) -> int | None:
        return self._child.pid

    def tell(self) -> Vitals:
        """How it is."""
        return self._child.tell()

    def start(self) -> None:
        """Start it if it is eager, and don't wait for it."""
        if self._eager:
            self._wake()

    async def stop(self) -> None:
        """End it. It is not started again."""
        self._over = True
        await self._child.stop()

    def chat(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        self._wake()
        return self._child.chat(request)

    async def count(self, request: ChatRequest) -> int:
        self._wake()
        return await self._child.count(request)

    def models(self) -> list[ModelCard]:
        """What it told when it was last asked; nothing before its first life."""
        return self._child.models()

    def supports(self, request: ChatRequest) -> list[str]:
        return self._child.supports(request)

    def _wake(self) -> None:
        if not self._over:
            self._child.start()

    def _begin(self, path: Path) -> Life:
        """A life at a port of its own. Raises OSError where the program is not there."""
        port = str(_free_port())
        argv = [word.replace(PORT, port) for word in self._row.command]
        search = self._env.get("PATH") if self._env is not None else None
        if shutil.which(argv[0], path=search) is None:
            raise FileNotFoundError(errno.ENOENT, "there is no such program", argv[0])
        row = structs.replace(self._row, base_url=self._row.base_url.replace(PORT, port))
        remote = self._connect(row)

        async def ready() -> list[ModelCard]:
            return await self._ready(row, remote)

        return Life(["/bin/sh", "-c", _LEASH, argv[0], *argv], remote, ready)

    async def _ready(self, row: Row, remote: Remote) -> list[ModelCard]:
        """The models that it tells of, if it is ready. Raises Upstream if it is not."""
        url = urlsplit(row.base_url)
        health = row.health or "/health"
        status = await self._status(f"{url.scheme}://{url.netloc}", health)
        if status in _NOT_THERE and not row.health:
            health = row.list_route
            status = await self._status(row.base_url, health)
            status = 200 if status in _NOT_THERE else status  # it is there, and has neither
        if status >= 300 and status not in (401, 403):  # who asks for a key is there
            raise Upstream(f"{health} answered {status}")
        try:
            return await remote.refresh()
        except TertuliaError:  # not all have a list
            return []

    async def _status(self, address: str, path: str) -> int:
        reply = await self._net.send("GET", address, path, silence=5)
        await reply.read()
        return reply.status


def environment(env: Mapping[str, str], keys: Collection[str]) -> dict[str, str]:
    """What a program may know of our environment ``env``: neither ``keys``, which are variables that hold those of
    providers, nor our own settings. Another Tertulia reads no file of ours, lest it start itself."""
    kept = {name: value for name, value in env.items() if name not in keys}
    ours = [name for name in kept if name.startswith("TERTULIA_") and not name.startswith("TERTULIA_STORE_")]
    return {name: value for name, value in kept.items() if name not in ours} | {"TERTULIA_CONFIG": ""}


def _settle(row: Row) -> Row:
    """``row`` with an address that goes with its command. Raises ConfigError."""
    asks = any(PORT in word for word in row.command)
    if not row.base_url:
        row = structs.replace(row, base_url=_HERE, route=row.route.removeprefix("/v1"))
    where = f"[providers.{row.name}]"
    if PORT in row.base_url and not asks:
        raise ConfigError(f"{where}: write {PORT} into command, or base_url with the port that the program takes")
    if asks and PORT not in row.base_url:
        raise ConfigError(f"{where}: {PORT} stands in command but not in base_url")
    if row.health and not row.health.startswith("/"):
        raise ConfigError(f'{where}: health is a path, such as "/health"')
    return row


def _free_port() -> int:
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        return there.getsockname()[1]

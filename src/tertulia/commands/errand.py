"""What `tertulia run` does: a server, a proxy and a command, side by side, and what the command finds around it."""

import asyncio
import contextlib
import os
import signal
import ssl
import tempfile
from asyncio.subprocess import Process
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path

from tertulia import build
from tertulia.config import Config
from tertulia.errors import SetupError, TertuliaError, Timeout
from tertulia.intercept import HOSTS, Proxy
from tertulia.net import Net
from tertulia.providers.remote import Remote
from tertulia.types import ChatRequest, Message

MARK = "TERTULIA_RUN"
"""The variable that says at which address the server is; shim.cjs reads it, too."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_BUNDLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_USUAL_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_NEAR = ("localhost", "127.0.0.1", "::1")
_GRACE = 5


class Errand:
    """The server, and beside it the command ``argv``; ``status`` is how that ended, as a shell would have it."""

    def __init__(self, config: Config, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        self.status = 1
        self._config = config
        self._argv = argv
        self._environ = environ
        self._process: Process | None = None
        self._early: list[signal.Signals] | None = None  # what came while the command was being started

    async def work(self) -> None:
        """Serve until the command has ended. Raises what kept the server from it."""
        loop = asyncio.get_running_loop()
        address: asyncio.Future[str] = loop.create_future()
        serving = loop.create_task(build.serve(self._config, address.set_result))
        try:
            await asyncio.wait([serving, address], return_when=asyncio.FIRST_COMPLETED, timeout=60)
            if serving.done():
                return serving.result()
            with self._signals(asyncio.current_task()):
                if not address.done():
                    raise SetupError("the server did not start within a minute")
                await _await_models(address.result(), self._config)
                self.status = await self._command(address.result())
        finally:
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving

    @contextlib.contextmanager
    def _signals(self, work: "asyncio.Task[None] | None") -> Generator[None]:
        """The server's handling of signals gives way to ours: they are the command's, once there is one."""
        loop = asyncio.get_running_loop()

        def heed(number: signal.Signals) -> None:
            if self._process is not None:
                _pass_on(number, self._process)
            elif self._early is not None:
                self._early.append(number)
            elif work is not None:
                self.status = 128 + number
                work.cancel()

        for number in _SIGNALS:
            loop.add_signal_handler(number, heed, number)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    async def _command(self, address: str) -> int:
        with tempfile.TemporaryDirectory(prefix="tertulia-") as name:
            room = Path(name)
            async with Proxy(address, room, _beyond(self._environ)) as proxy:
                files = trust(self._environ, proxy.authority, room)
                env = {**self._environ, **variables(self._environ, address, proxy.url), **files}
                early = self._early = []
                try:
                    process = self._process = await asyncio.create_subprocess_exec(*self._argv, env=env)
                except OSError as error:
                    raise SetupError(f"{self._argv[0]} can't be run: {error.strerror or error}") from None
                try:
                    for number in early:
                        _pass_on(number, process)
                    status = await process.wait()  # the command takes what time it takes
                finally:
                    await _end(process)
        return status if status >= 0 else 128 - status


def _pass_on(number: signal.Signals, process: Process) -> None:
    """Tell the command, unless it knows: what is typed in a terminal reaches all of its foreground."""
    if number not in (signal.SIGINT, signal.SIGQUIT) or not _foreground():
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)


async def _end(process: Process) -> None:
    """End what still runs."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            process.terminate()
            async with asyncio.timeout(_GRACE):
                await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()


def _foreground() -> bool:
    """Whether this runs in a terminal's foreground."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


async def _await_models(address: str, config: Config) -> None:
    """Until the models of this machine can answer. Raises SetupError with what keeps one from it."""
    now = asyncio.get_running_loop().time
    until = now() + (config.engine.load_timeout or float("inf"))
    async with Net() as net:
        server = Remote(net, address, first_timeout=120)
        for model in config.engine.model:
            request = ChatRequest(model=model, messages=[Message(role="user", content="?")])
            while True:  # a count waits for the model as a chat would, and says why there is none
                try:
                    await server.count(request)
                    break
                except TertuliaError as error:
                    if error.status < 500:
                        break
                    if not isinstance(error, Timeout) or now() > until:
                        raise SetupError(error.message) from error


# ---------------------------------------------------------------- what the command finds


def variables(environ: Mapping[str, str], address: str, proxy: str) -> dict[str, str]:
    """What has to be said anew in ``environ`` for clients to come to ``address``, by way of the ``proxy`` if they know
    other addresses."""
    token = f"hf_tertulia{'x' * 26}"
    told = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    away = [name.strip() for name in told.split(",") if name.strip() and not _covers(name.strip(), HOSTS)]
    direct = ",".join(dict.fromkeys([*away, *_NEAR]))
    shim = str(Path(__file__).parent.with_name("shim.cjs"))
    new = {
        MARK: address,
        "HF_ENDPOINT": address,
        "HTTPS_PROXY": proxy,
        "https_proxy": proxy,
        "NO_PROXY": direct,
        "no_proxy": direct,
        "NODE_OPTIONS": f'{environ.get("NODE_OPTIONS", "")} --require "{shim}"'.strip(),
    }
    unsaid = {"HF_TOKEN": token, "OPENAI_BASE_URL": f"{address}/v1", "OPENAI_API_KEY": token}
    new |= {name: value for name, value in unsaid.items() if not environ.get(name)}
    if environ.get("HF_HUB_OFFLINE"):  # it would keep huggingface_hub from asking us
        new["HF_HUB_OFFLINE"] = "0"
    return new


def trust(environ: Mapping[str, str], authority: bytes, room: Path) -> dict[str, str]:
    """Write what each client trusts so far, and ``authority``, to files in ``room``; returns the variables that name
    them."""
    usual = _first([ssl.get_default_verify_paths().cafile or "", *_USUAL_BUNDLES])
    files: dict[str, str] = {}
    for name, known in [*((name, usual) for name in _BUNDLES), ("NODE_EXTRA_CA_CERTS", b"")]:
        file = room / f"{name.lower()}.pem"
        file.write_bytes((_first([environ.get(name, "")]) or known) + b"\n" + authority)
        files[name] = str(file)
    return files


def _first(files: Iterable[str]) -> bytes:
    """What is in the first of ``files`` that can be read."""
    for file in files:
        with contextlib.suppress(OSError):
            if file:
                return Path(file).read_bytes()
    return b""


def _beyond(environ: Mapping[str, str]) -> str:
    """The proxy that leads to the network, if there is one."""
    names: tuple[str, ...] = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    if "*" in (environ.get("NO_PROXY") or environ.get("no_proxy") or "").split(","):
        return ""
    said = next((value for value in map(environ.get, names) if value), "")
    return said if not said or "://" in said else f"http://{said}"


def _covers(name: str, hosts: Sequence[str]) -> bool:
    """Whether a name in NO_PROXY keeps one of ``hosts`` from the proxy."""
    suffix = name.lstrip("*").lstrip(".").partition(":")[0].lower()
    return any(f".{host}".endswith(f".{suffix}") for host in hosts) if suffix else True

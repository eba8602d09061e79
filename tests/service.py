"""`tertulia serve` as its users have it: a process of its own, over the default model, at a free port."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from pathlib import Path

import pytest

from tertulia import config
from tertulia.catalog import catalog
from tertulia.catalog.store import Store


def default_model() -> str:
    """The id of the default model, which must be in the store: `make test` fetches it."""
    store, row = config.load().store, catalog.default()
    if Store(store.path).find(row.id) is None:
        pytest.skip(f"{row.id} is not in {store.path}: `tertulia pull {row.id}` fetches it")
    return row.id


def environment(home: Path, store: Path | None = None) -> dict[str, str]:
    """The environment of a user who has configured nothing and has the machine's models, or those of ``store``."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    kept["TERTULIA_LEDGER_PATH"] = str(home / "ledger.db")
    return kept | {"XDG_CONFIG_HOME": str(home), "TERTULIA_STORE_PATH": str(store or config.load().store.path)}


class Service:
    """A running server: its address, what it printed, and its process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._said = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.address = self.find(r"answers at (http://\S+?)/v1")

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._said:
                self.lines.append(line.rstrip("\n"))
                self._said.notify_all()
        with self._said:
            self._said.notify_all()

    def find(self, pattern: str, seconds: float = 20, after: int = 0) -> str:
        """The first group of ``pattern`` in a line from number ``after`` on, once there is one."""
        deadline = time.monotonic() + seconds
        with self._said:
            while True:
                for line in self.lines[after:]:
                    if found := re.search(pattern, line):
                        return found[1]
                left = deadline - time.monotonic()
                assert left > 0, f"no line matches {pattern!r}:\n" + "\n".join(self.lines)
                self._said.wait(min(left, 1))
                assert self._reader.is_alive() or left > 1, "it ended:\n" + "\n".join(self.lines)

    def get(self, path: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(self.address + path, timeout=10) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def wait(self, seconds: float = 40) -> None:
        """Until it is ready."""
        deadline = time.monotonic() + seconds
        while self.get("/health")[0] != 200:
            assert time.monotonic() < deadline, "\n".join(self.lines)
            time.sleep(0.05)

    def engine(self) -> int:
        """The process id of the engine."""
        folder = Path(f"/proc/{self.process.pid}/task")
        children = [pid for task in folder.iterdir() for pid in (task / "children").read_text().split()]
        return int(children[0])


def resident(pid: int, name: str = "VmRSS") -> int:
    """The memory of a process in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name + ":")).split()[1]) * 1024


def most(pid: int) -> int:
    """The most memory that a process had since :func:`settle`."""
    return resident(pid, "VmHWM")


def settle(pid: int) -> int:
    """The memory of a process now, from where the most is counted anew."""
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    except OSError:
        pytest.skip("this system doesn't tell how much memory was used")
    return resident(pid)


@contextlib.contextmanager
def serving(
    home: Path, *options: str, model: str | None = "", store: Path | None = None, more: dict[str, str] | None = None
) -> Generator[Service]:
    """Start `tertulia serve` with ``options``, and ``more`` in its environment, and end it with SIGTERM, which must
    suffice. The ``model`` is the default one; None names none to it."""
    named = [] if model is None else ["--model", model or default_model()]
    arguments = [sys.executable, "-m", "tertulia.cli", "serve", "--port", "0", *named, "--kv", "256M"]
    process = subprocess.Popen(
        [*arguments, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(home, store) | {"PYTHONUNBUFFERED": "1"} | (more or {}),
    )
    try:
        service = Service(process)
        yield service
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, "\n".join(service.lines)
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Generator[Service]:
    """A server for the tests of a module."""
    with serving(tmp_path_factory.mktemp("home")) as running:
        running.wait()
        yield running

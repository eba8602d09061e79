"""``tertulia serve`` as a process of its own over a store of its own, what its process tree spends, and a client."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp

TICK = 1 / os.sysconf("SC_CLK_TCK")


class Service:
    """The gateway and its engine, serving the model in ``folder`` with ``options``. A context: entered when ``/health``
    says ready."""

    def __init__(self, folder: Path, threads: int = 1, *options: str) -> None:
        self._room = tempfile.TemporaryDirectory(prefix="tertulia-bench-")
        self._folder = folder
        self._options = ["--threads", str(threads), *options]
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        self.seconds = 0.0

    def __enter__(self) -> "Service":
        room = self._room.name
        home = {"XDG_DATA_HOME": room, "XDG_CONFIG_HOME": room, "HOME": room}
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("TERTULIA_")
        } | home
        files = sorted(self._folder.glob("*.gguf"))
        source = str(files[0] if files else self._folder)
        self._log = (Path(room) / "log").open("w+")
        self._process = self._run("pull", source, "--as", "bench")
        if self._process.wait():
            raise RuntimeError(f"the model can't be pulled:\n{self._said()}")
        port = self.url.rpartition(":")[2]
        started = time.perf_counter()
        self._process = self._run("serve", "--model", "bench", "--port", port, *self._options)
        self._await(120)
        self.seconds = time.perf_counter() - started
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        self._room.cleanup()

    def _run(self, *arguments: str) -> subprocess.Popen[Any]:
        command = [sys.executable, "-m", "tertulia.cli", *arguments]
        out = self._log
        return subprocess.Popen(command, env=self._environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    def _await(self, most: float) -> None:
        end = time.monotonic() + most
        while time.monotonic() < end and self._process.poll() is None:
            try:
                with urllib.request.urlopen(self.url + "/health", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
        raise RuntimeError(f"the server did not get ready:\n{self._said()}")

    def _said(self) -> str:
        self._log.seek(0)
        return self._log.read()[-4000:]

    def cpu(self) -> float:
        """CPU seconds of gateway and engine so far, user and system."""
        return sum(ticks(pid) for pid in tree(self._process.pid)) * TICK

    def memory(self) -> dict[str, float]:
        """Resident MB of the gateway and of the processes under it."""
        gateway, *others = [resident(pid) for pid in tree(self._process.pid)]
        return {"gateway": gateway, "engine": sum(others)}

    def chats(self, texts: list[str], most: int) -> dict[str, Any]:
        """Answer ``texts`` at once, streaming; the client's own work is not counted."""
        before, started = self.cpu(), time.perf_counter()
        answers = asyncio.run(_ask_all(self.url, texts, most))
        wall = time.perf_counter() - started
        return {
            "cpu": self.cpu() - before,
            "wall": wall,
            "tokens": sum(answer["tokens"] for answer in answers),
            "prompts": [answer["prompt"] for answer in answers],
            "first": [answer["first"] for answer in answers],
        }


async def _ask_all(url: str, texts: list[str], most: int) -> list[dict[str, Any]]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(300)) as session:
        return await asyncio.gather(*(_ask(session, url, text, most) for text in texts))


async def _ask(session: aiohttp.ClientSession, url: str, text: str, most: int) -> dict[str, Any]:
    body = {
        "messages": [{"role": "user", "content": text}],
        "temperature": 0,
        "max_tokens": most,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    started, first, last = time.perf_counter(), 0.0, b""
    async with session.post(url + "/v1/chat/completions", json=body) as response:
        if response.status != 200:
            raise RuntimeError(f"{response.status}: {await response.text()}")
        async for line in response.content:
            if line.startswith(b"data: {"):
                first = first or time.perf_counter() - started
                last = line
    usage = json.loads(last[6:])["usage"]
    return {"tokens": usage["completion_tokens"], "prompt": usage["prompt_tokens"], "first": first}


# ---------------------------------------------------------------- /proc


def tree(root: int) -> list[int]:
    """``root`` and the processes under it, parents first."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(_fields(path)[1])
        except OSError:  # it has ended meanwhile
            continue
    found = [root]
    for parent in found:  # grows as it is walked
        found += [pid for pid, above in parents.items() if above == parent]
    return found


def _fields(path: Path) -> list[str]:
    """The fields of a stat file from the third, the state, on; the second may hold spaces."""
    return path.read_text().rpartition(")")[2].split()


def ticks(pid: int) -> int:
    """Of the process and of its children that have ended."""
    try:
        return sum(int(value) for value in _fields(Path(f"/proc/{pid}/stat"))[11:15])
    except OSError:
        return 0


def resident(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024

"""Gateways as processes, each with one provider behind it: Tertulia, nginx, LiteLLM. What is not here is left out."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from bench.service import TICK, resident, ticks, tree
from bench.worker import ROOT

MODEL = "bench/model"
LITELLM = ROOT / ".venv-litellm" / "bin" / "litellm"
_NGINX = """daemon off; worker_processes 1; pid {room}/nginx.pid; error_log {room}/error.log;
events {{ worker_connections 1024; }}
http {{ access_log off; client_body_buffer_size 1m; client_body_temp_path {room}; proxy_temp_path {room};
  fastcgi_temp_path {room}; uwsgi_temp_path {room}; scgi_temp_path {room};
  upstream provider {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 1000000; }}
  server {{ listen 127.0.0.1:{port}; keepalive_requests 1000000;
    location / {{ proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; }} }} }}
"""
_QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
_LITELLM = """model_list:
  - model_name: {model}
    litellm_params: {{model: openai/{model}, api_base: "http://127.0.0.1:{upstream}/v1", api_key: none}}
"""


@dataclass
class Gateway:
    """A process tree that listens at ``port``; its CPU and its memory are those of the whole tree."""

    name: str
    port: int
    pid: int
    token: str = "none"

    def cpu(self) -> float:
        return sum(ticks(pid) for pid in tree(self.pid)) * TICK

    def memory(self) -> float:
        return sum(resident(pid) for pid in tree(self.pid))

    def files(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


@contextlib.contextmanager
def upstream(gap: float = 0.0005) -> Generator[int]:
    """The provider's port."""
    command = [sys.executable, "-m", "bench.upstream", "--model", MODEL, "--gap", str(gap)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


@contextlib.contextmanager
def tertulia(port: int, *, models: int = 1, providers: int = 1, tokens: int = 0) -> Generator[Gateway]:
    """Tertulia without a model of its own, over ``providers`` that serve ``models`` each, and with ``tokens`` for
    callers."""
    with tempfile.TemporaryDirectory(prefix="tertulia-bench-") as room:
        names = ", ".join(f'"bench/model{number or ""}"' for number in range(models))
        rows = [
            f'[providers.bench{number or ""}]\nbase_url = "http://127.0.0.1:{port}/v1"\nmodels = [{names}]\n'
            for number in range(providers)
        ]
        config = Path(room) / "config.toml"
        config.write_text("\n".join(rows))
        home = {"XDG_DATA_HOME": room, "XDG_CONFIG_HOME": room, "HOME": room}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TERTULIA_")} | home
        secret = _tokens(Path(room) / "tertulia" / "ledger.db", tokens) if tokens else "none"
        free = _free()
        command = [sys.executable, "-m", "tertulia.cli", "serve", "--model", "none", "--config", str(config)]
        with _process([*command, "--port", str(free)], room, environment) as pid:
            yield Gateway("tertulia", _listening(free), pid, secret)


@contextlib.contextmanager
def nginx(port: int) -> Generator[Gateway | None]:
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="nginx-bench-") as room:
        free = _free()
        Path(room, "nginx.conf").write_text(_NGINX.format(room=room, upstream=port, port=free))
        with _process([program, "-p", room, "-c", f"{room}/nginx.conf"], room, dict(os.environ)) as pid:
            yield Gateway("nginx", _listening(free), pid)


@contextlib.contextmanager
def litellm(port: int) -> Generator[Gateway | None]:
    if not LITELLM.exists():
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="litellm-bench-") as room:
        free = _free()
        Path(room, "config.yaml").write_text(_LITELLM.format(model=MODEL, upstream=port))
        key = f"sk-{secrets.token_hex(32)}"
        environment = dict(os.environ) | {"HOME": room, "LITELLM_MASTER_KEY": key, **_QUIET}
        command = [str(LITELLM), "--config", f"{room}/config.yaml", "--host", "127.0.0.1", "--port", str(free)]
        with _process([*command, "--num_workers", "1", "--telemetry", "False"], room, environment) as pid:
            yield Gateway("litellm", _listening(free, 120), pid, key)


@contextlib.contextmanager
def _process(command: list[str], room: str, environment: dict[str, str]) -> Generator[int]:
    with Path(room, "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, cwd=room)
        try:
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _tokens(path: Path, count: int) -> str:
    """Make tokens for callers; one of them."""
    import asyncio

    from tertulia.ledger.ledger import Ledger

    async def make() -> str:
        async with Ledger(path) as ledger:
            return [await ledger.new(f"caller{number}") for number in range(count)][-1]

    return asyncio.run(make())


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def _listening(port: int, most: float = 30) -> int:
    """``port``, once somebody listens there."""
    end = time.monotonic() + most
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return port
        except OSError:
            if time.monotonic() > end:
                raise RuntimeError(f"nobody listens at port {port}") from None
            time.sleep(0.05)

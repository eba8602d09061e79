"""A provider that is a program: there when it is asked for, back when it dies, gone when we go."""

import asyncio
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest

from echo import MODEL
from service import default_model
from talk import until
from tertulia import config
from tertulia.config import Provider
from tertulia.errors import ConfigError, Timeout, Upstream
from tertulia.fold import fold
from tertulia.net import Net
from tertulia.providers import table
from tertulia.providers.program import Program, environment
from tertulia.providers.remote import Remote
from tertulia.providers.table import Row
from tertulia.types import ChatRequest, Chunk, Message

TESTS = Path(__file__).parent.parent
ECHO = [sys.executable, "-m", "echo", "--port", "{port}"]
Make = Callable[..., Program]

LIST_ONLY = """
import json, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
born = time.monotonic()
class Desk(BaseHTTPRequestHandler):
    def do_GET(self):
        there = self.path == "/v1/models"
        status = (200 if time.monotonic() - born > 0.4 else 503) if there else 404
        body = json.dumps({"data": [{"id": "listed"}]}).encode() if status == 200 else b"{}"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
HTTPServer(("127.0.0.1", int(sys.argv[1])), Desk).serve_forever()
"""


def said(content: str, stream: bool = True) -> ChatRequest:
    return ChatRequest(messages=[Message(role="user", content=content)], model=MODEL, stream=stream)


async def all_of(answer: AsyncGenerator[Chunk, None]) -> list[Chunk]:
    return [chunk async for chunk in answer]


async def text(program: Program, content: str) -> str | None:
    return fold(await all_of(program.chat(said(content)))).choices[0].message.content


def alive(pid: int | None) -> bool:
    assert pid is not None
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def row(command: list[str] | str, **said: Any) -> Row:
    """The row that the configuration makes of a command."""
    words = shlex.split(command) if isinstance(command, str) else command
    return table.rows({"own": Provider(command=words, **said)})["own"]


@pytest.fixture
async def make() -> AsyncGenerator[Make, None]:
    async with Net() as net:
        programs: list[Program] = []

        def connect(row: Row) -> Remote:
            return Remote(net, row.base_url, name=row.name, row=row)

        def make(command: list[str] | str = ECHO, *flags: str, **options: Any) -> Program:
            said = {name: options.pop(name) for name in ("base_url", "health", "route") if name in options}
            env = options.pop("env", {**os.environ, "PYTHONPATH": str(TESTS)})
            words = [*command, *flags] if isinstance(command, list) else command
            program = Program(net, row(words, **said), connect, env=env, **{"pause": 0.05, "grace": 0.5} | options)
            programs.append(program)
            return program

        yield make
        for program in programs:
            await program.stop()


async def test_it_is_started_when_it_is_first_asked_for(make: Make):
    program = make()
    program.start()
    await asyncio.sleep(0.1)
    assert (program.pid, program.state, program.models()) == (None, "stopped", [])
    assert await text(program, "one two") == "one two"
    whole = await all_of(program.chat(said("three four", stream=False)))
    assert fold(whole).choices[0].message.content == "three four"
    assert program.ready and alive(program.pid)
    assert program.models()[0].id == MODEL


async def test_an_eager_one_is_started_at_once(make: Make):
    program = make(eager=True)
    program.start()
    await until(lambda: program.ready, 10)
    assert program.models()[0].id == MODEL


async def test_while_it_loads_chats_wait_but_not_for_ever(make: Make):
    slow = make(ECHO, "--load", "1")
    assert await text(slow, "one") == "one"
    slower = make(ECHO, "--load", "30", first_timeout=0.3)
    with pytest.raises(Timeout, match=r"own is still loading after 0\.3 s"):
        await text(slower, "one")


async def test_killed_in_the_middle_of_an_answer_it_says_so_and_comes_back_at_another_port(make: Make):
    program = make()
    assert await text(program, "one") == "one"
    pid, answer = program.pid, program.chat(said("one !stall"))
    assert (await anext(answer)).choices[0].delta.content == "one"
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(Upstream, match="own died while it was answering: it was killed by SIGKILL"):
        while True:
            await anext(answer)
    assert await text(program, "again") == "again"
    assert program.pid != pid


async def test_one_that_never_gets_ready_is_ended_and_says_what_was_missing(make: Make):
    program = make(ECHO, "--load", "30", load_timeout=1.5)
    first = program.chat(said("one"))
    asking = asyncio.ensure_future(anext(first))
    await until(lambda: program.pid is not None)
    pid = program.pid
    await until(lambda: not alive(pid), 10)
    with pytest.raises(Upstream, match=r"it was not ready after 1\.5 s: /health answered 503"):
        await asking


async def test_one_that_ends_at_once_gives_its_last_words(make: Make):
    program = make("/bin/sh -c 'echo no GPU was found >&2; exit 4' {port}", pause=0.02)
    with pytest.raises(Upstream, match="own is not running: it ended with status 4: no GPU was found"):
        await text(program, "one")


async def test_a_program_that_is_not_installed_is_named(make: Make):
    program = make("vllm-that-is-not-here serve --port {port}", pause=0.02)
    for _ in range(4):
        with pytest.raises(Upstream, match=r"it can't be started: .*no such program: 'vllm-that-is-not-here'"):
            await text(program, "one")
    assert program.state == "stopped"


async def test_a_program_that_is_installed_later_is_started_when_it_is_asked_for(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    env = {**os.environ, "PYTHONPATH": str(TESTS), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    program = make("late-server --port {port}", eager=True, env=env, pause=0.02)
    program.start()
    await until(lambda: "no such program" in caplog.text)
    await asyncio.sleep(0.2)
    assert caplog.text.count("no such program") == 1, "it is not tried again while nobody asks"
    file = tmp_path / "late-server"
    file.write_text(f'#!/bin/sh\nexec {sys.executable} -m echo "$@"\n')
    file.chmod(0o700)
    assert await text(program, "one two") == "one two"


async def test_where_there_is_no_health_the_list_of_models_tells(make: Make):
    program = make([sys.executable, "-c", LIST_ONLY, "{port}"], eager=True)
    program.start()
    began = time.monotonic()
    await until(lambda: program.ready, 10)
    assert time.monotonic() - began > 0.4
    assert [card.id for card in program.models()] == ["listed"]


async def test_a_health_that_is_named_is_what_counts(make: Make):
    program = make([sys.executable, "-c", LIST_ONLY, "{port}"], health="/ping", load_timeout=1)
    with pytest.raises(Upstream, match="it was not ready after 1 s: /ping answered 404"):
        await text(program, "one")
    named = make(health="/openapi.json", eager=True)
    named.start()
    await until(lambda: named.ready, 10)


async def test_an_address_may_be_said_and_hold_the_port(make: Make):
    program = make(base_url="http://localhost:{port}/v1")
    assert await text(program, "one") == "one"


async def test_stopping_ends_all_of_it_and_it_stays_ended(make: Make, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    worker = f"trap '' TERM; while true; do sleep 0.1; done & echo worker $!; exec {shlex.join(ECHO)}"
    program = make(["/bin/sh", "-c", worker, "{port}"], grace=0.3)
    assert await text(program, "one") == "one"
    pid, beside = program.pid, int(caplog.text.partition("worker ")[2].split()[0])
    assert alive(pid) and alive(beside)
    await program.stop()
    assert not alive(pid) and not alive(beside)
    with pytest.raises(Upstream, match="it was stopped"):
        await text(program, "one")
    assert program.pid is None


async def test_one_that_hangs_is_replaced(make: Make):
    program = make(check=0.1, deaf=0.5)
    assert await text(program, "one") == "one"
    pid = program.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    await until(lambda: not alive(pid), 5)
    assert await text(program, "two") == "two"


async def test_it_knows_neither_keys_nor_our_settings(make: Make):
    ours = {"GROQ_API_KEY": "k1", "TERTULIA_SERVER_PORT": "80", "TERTULIA_TOKENS": "t1", "HF_TOKEN": "h1"}
    known = {"PATH": os.environ["PATH"], "CUDA_VISIBLE_DEVICES": "0", "TERTULIA_STORE_PATH": "/models"}
    env = environment(config.child_environment(environ=ours | known), {"GROQ_API_KEY"})
    assert env == known | {"TERTULIA_CONFIG": ""}
    program = make(
        ["/bin/sh", "-c", 'echo "[$GROQ_API_KEY$HF_TOKEN]" $CUDA_VISIBLE_DEVICES; exit 1', "{port}"], env=env
    )
    with pytest.raises(Upstream, match=r"\[\] 0"):
        await text(program, "one")


@pytest.mark.parametrize(
    ("command", "said", "why"),
    [
        ("run", {}, r"\[providers.own\]: write {port} into command, or base_url with the port"),
        ("run", {"base_url": "http://127.0.0.1:{port}/v1"}, "write {port} into command"),
        ("run {port}", {"base_url": "http://127.0.0.1:8000/v1"}, "{port} stands in command but not in base_url"),
        ("run {port}", {"health": "http://127.0.0.1/health"}, "health is a path"),
    ],
)
async def test_what_can_not_be_reached_is_refused_at_once(make: Make, command: str, said: dict[str, str], why: str):
    with pytest.raises(ConfigError, match=why):
        make(command, **said)


def test_a_command_is_read_as_a_shell_would(tmp_path: Path):
    file = tmp_path / "config.toml"
    file.write_text("""[providers.own]
command = '''vllm serve a/b --port {port} --overrides '{"x": 1, "y": 2}' '''
eager = true
[providers.words]
command = ["run", "a, b", "{port}"]
""")
    own = config.load(file, environ={}).providers
    assert own["own"].command == ["vllm", "serve", "a/b", "--port", "{port}", "--overrides", '{"x": 1, "y": 2}']
    assert (own["own"].eager, own["words"].eager, own["words"].command) == (True, False, ["run", "a, b", "{port}"])
    file.write_text('[providers.own]\ncommand = "run \'it {port}"')
    with pytest.raises(ConfigError, match="command"):
        config.load(file, environ={})


def test_it_dies_with_us_however_we_die():
    code = (
        "import asyncio, sys\n"
        "from tertulia.net import Net\n"
        "from tertulia.providers.program import Program\n"
        "from tertulia.providers.remote import Remote\n"
        "from tertulia.providers.table import Row\n"
        "async def main():\n"
        "    net = Net()\n"
        "    row = Row(name='own', command=tuple(sys.argv[1:]))\n"
        "    own = Program(net, row, lambda row: Remote(net, row.base_url, row=row), eager=True)\n"
        "    own.start()\n"
        "    while not own.ready: await asyncio.sleep(0.01)\n"
        "    print(own.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    env = {**os.environ, "PYTHONPATH": str(TESTS)}
    with subprocess.Popen([sys.executable, "-c", code, *ECHO], stdout=subprocess.PIPE, env=env) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 3
    while alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


async def test_another_tertulia_over_the_real_model(make: Make, tmp_path: Path):
    model = default_model()
    env = environment(os.environ, ()) | {
        "XDG_CONFIG_HOME": str(tmp_path),
        "TERTULIA_STORE_PATH": str(config.load().store.path),
        "TERTULIA_LEDGER_PATH": str(tmp_path / "ledger.db"),
    }
    command = [sys.executable, "-m", "tertulia.cli", "serve", "--port", "{port}", "--model", model, "--kv", "256M"]
    program = make(command, env=env, grace=10)
    request = said("What is the capital of France?")
    request.model, request.temperature, request.max_tokens = model, 0, 16
    whole = fold(await all_of(program.chat(request)))
    assert "Paris" in (whole.choices[0].message.content or "")
    assert model in [card.id for card in program.models()]
    pid = program.pid
    await program.stop()
    assert not alive(pid)

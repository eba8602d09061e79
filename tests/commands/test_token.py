"""``tertulia token``, as its users have it: a process of its own, beside a server that runs."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from echo import Echo
from talk import chat
from tertulia import cli
from tertulia.config import Config
from tertulia.ledger.ledger import Ledger
from tertulia.server.app import running
from tertulia.types import Spent

Command = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def command(path: Path) -> Command:
    """Run a command line in another process."""

    async def command(*words: str) -> tuple[int, str, str]:
        environment = os.environ | {"TERTULIA_LEDGER_PATH": str(path), "TERTULIA_CONFIG": ""}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tertulia.cli", *words),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        out, err = await asyncio.wait_for(process.communicate(), 20)
        return process.returncode or 0, out.decode(), err.decode()

    return command


@pytest.fixture
async def asks(path: Path) -> AsyncGenerator[Callable[..., Awaitable[tuple[int, str]]], None]:
    """A server with this ledger is asked for a chat with a token, or for ``path``."""
    config = Config()
    config.server.port = 0
    async with (
        Ledger(path) as ledger,
        running(Echo(), config, ledger=ledger) as address,
        aiohttp.ClientSession() as http,
    ):

        async def asks(secret: str, path: str = "") -> tuple[int, str]:
            headers = {"Authorization": f"Bearer {secret}"} if secret else {}
            body = None if path else chat("hi")
            path = path or "/v1/chat/completions"
            async with http.request("POST" if body else "GET", address + path, json=body, headers=headers) as reply:
                return reply.status, await reply.text()

        yield asks


async def test_a_token_is_made_used_and_revoked_beside_a_running_server(
    command: Command, asks: Callable[..., Awaitable[tuple[int, str]]]
):
    assert (await asks(""))[0] == 200
    status, out, err = await command("token", "new", "ana")
    secret = out.strip()
    assert status == 0 and re.fullmatch(r"hf_[A-Za-z0-9]{34}", secret) and "won't be shown again" in err
    assert (await asks(""))[0] == 401
    assert (await asks(secret))[0] == 200
    status, out, _ = await command("token", "revoke", "ana")
    assert (status, out) == (0, "The token ana (1) is revoked.\n")
    status, told = await asks(secret)
    assert status == 401 and "this token was revoked" in told


async def test_a_permission_is_given_by_the_command(command: Command, asks: Callable[..., Awaitable[tuple[int, str]]]):
    _, plain, _ = await command("token", "new", "ana")
    _, both, _ = await command("token", "new", "root", "--permission", "admin", "--permission", "inference")
    status, told = await asks(plain.strip(), "/metrics")
    assert status == 403 and "permission admin" in told
    assert (await asks(both.strip(), "/metrics"))[0] == 200 and (await asks(both.strip()))[0] == 200


async def test_the_list_tells_all_but_the_secret(command: Command, path: Path):
    assert (await command("token", "list"))[1] == "There is no token yet: `tertulia token new NAME` makes one.\n"
    _, secret, _ = await command("token", "new", "ana", "--expires", "2087-01-31", "--cap", "5.5")
    await command("token", "new", "bob", "--permission", "admin")
    await command("token", "revoke", "2")
    async with Ledger(path) as ledger:
        ledger.spend(Spent(request_id="r", token=1, caller="ana", model="m", provider="p", cost=250_000))
    status, out, _ = await command("token", "list")
    head, ana, bob = (line.split() for line in out.splitlines())
    today = time.strftime("%Y-%m-%d")
    assert status == 0 and head == ["id", "name", "permissions", "made", "expires", "spent", "cap", "state"]
    assert ana == ["1", "ana", "inference", today, "2087-01-31", "$0.25", "$5.50", "live"]
    assert bob == ["2", "bob", "admin", today, "never", "$0.00", "none", "revoked"]
    assert secret.strip() not in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("new", "ana", "--expires", "soon"), "'soon' is no time: 12h, 30d, 8w or a date"),
        (("new", "ana", "--expires", "2020-01-01"), "not in the future"),
        (("new", "ana", "--cap", "much"), "'much' is no sum of US dollars"),
        (("new", "a b"), "can't be called 'a b'"),
        (("revoke", "nobody"), "`tertulia token list` shows those there are"),
    ],
)
def test_what_cant_be_done_is_told_in_a_line(
    words: tuple[str, ...], told: str, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("TERTULIA_LEDGER_PATH", str(path))
    assert cli.main(["token", *words]) == 1
    said = capsys.readouterr()
    assert told in said.err and said.err.count("\n") == 1 and not said.out


def test_the_configuration_file_may_be_named_behind_the_action(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "own.toml"
    file.write_text(f'[ledger]\npath = "{tmp_path}/own.db"\n')
    for words in (["token", "new", "ana", "--config", str(file)], ["token", "--config", str(file), "new", "bob"]):
        assert cli.main(words) == 0
    capsys.readouterr()
    assert cli.main(["token", "list", "--config", str(file)]) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["name", "ana", "bob"]


@pytest.mark.parametrize("action", [[], ["new"], ["list"], ["revoke"]])
def test_the_help_teaches(action: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as left:
        cli.main(["token", *action, "--help"])
    told = capsys.readouterr().out
    assert left.value.code == 0 and "Example:\n  tertulia token" in told
    assert max(map(len, told.splitlines())) <= 100

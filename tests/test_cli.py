"""The command line, with a build that only notes what it is asked for."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import hub
import tertulia
from parrot import Parrot
from tertulia import cli, terminal
from tertulia.catalog import catalog, local
from tertulia.catalog.catalog import Hub, Row, Shipped
from tertulia.catalog.store import Store
from tertulia.config import Config
from tertulia.errors import ConfigError


class Build(ModuleType):
    """Stands where tertulia.build stands."""

    def __init__(self) -> None:
        super().__init__("tertulia.build")
        self.calls: list[tuple[Any, ...]] = []
        self.backend = Parrot()
        self.error: BaseException | None = None

    async def serve(self, config: Config, started: Callable[[str], None]) -> None:
        self.calls.append(("serve", config))
        if self.error:
            raise self.error
        started(f"http://{config.server.host}:{config.server.port}")

    async def engine(self, config: Config, socket: Path) -> None:
        self.calls.append(("engine", config, socket))

    async def local(self, config: Config, model: str) -> Parrot:
        self.calls.append(("local", model))
        return self.backend

    def remote(self, url: str, token: str) -> Parrot:
        self.calls.append(("remote", url, token))
        return self.backend


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, on a machine whose environment says nothing of ours."""
    for name in [name for name in os.environ if name.startswith(("TERTULIA_", "HF_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Build:
    fake = Build()
    monkeypatch.setitem(sys.modules, "tertulia.build", fake)
    monkeypatch.setattr(tertulia, "build", fake, raising=False)
    return fake


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[hub.Hub]:
    """A Hub with two models of the catalog, ``org/first`` (the default) and ``org/second``."""
    rows = tuple(
        Row(
            id=f"org/{name}",
            source=Hub(f"org/{name}"),
            context=512,
            licence="none",
            description=f"the {name}",
            default=first,
        )
        for name, first in (("first", True), ("second", False))
    )
    monkeypatch.setattr(catalog, "rows", lambda: rows)
    with hub.serve() as served:
        served.repos = {row.id: hub.Repo(hub.tensors()) for row in rows}
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        yield served


class TestHelp:
    def test_it_teaches(self, capsys: pytest.CaptureFixture[str]) -> None:
        for command in ([], ["serve"], ["chat"], ["pull"], ["rm"], ["models"], ["engine"]):
            with pytest.raises(SystemExit) as left:
                cli.main([*command, "--help"])
            assert left.value.code == 0
            told = capsys.readouterr().out
            assert ("Example:\n  tertulia" in told) or not command
            assert max(map(len, told.splitlines())) <= 100

    def test_the_engine_is_not_listed(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            cli.main(["--help"])
        told = capsys.readouterr().out
        assert "engine" not in told
        assert all(f"\n    {command} " in told for command in ("serve", "chat", "pull", "rm", "models"))

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            cli.main(["--version"])
        assert capsys.readouterr().out == f"tertulia {tertulia.__version__}\n"

    def test_it_is_quick(self) -> None:
        took: list[float] = []
        for _ in range(5):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-m", "tertulia.cli", "--help"], check=True, capture_output=True)
            took.append(time.perf_counter() - start)
        assert min(took) < 0.15

    def test_no_command_says_how(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as left:
            cli.main([])
        assert left.value.code == 2
        assert "COMMAND" in capsys.readouterr().err


class TestModels:
    def test_pull_list_remove(self, there: hub.Hub, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["models"]) == 0
        assert "No model is here yet." in capsys.readouterr().out
        assert cli.main(["pull", "FIRST"]) == 0
        assert capsys.readouterr().out.startswith("org/first is here: 5 kB, BF16, ")
        assert cli.main(["models"]) == 0
        told = capsys.readouterr().out
        assert "org/first     5 kB  BF16    context 2048" in told
        assert "org/second\n    the second" in told
        assert cli.main(["rm", "first"]) == 0
        assert capsys.readouterr().out == "org/first is removed\n"
        assert Store(home / ".local/share/tertulia/models").list() == []

    def test_another_name(self, there: hub.Hub, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["pull", "org/first", "--as", "mine"]) == 0
        assert capsys.readouterr().out.startswith("mine is here")

    def test_an_error_is_one_line(self, there: hub.Hub, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["rm", "org/nothing"]) == 1
        told = capsys.readouterr()
        assert told.err == "tertulia: org/nothing is not installed; installed are none\n"
        assert told.out == ""


class TestServe:
    def test_flags_are_settings(self, build: Build, there: hub.Hub) -> None:
        line = "serve --host 0.0.0.0 --port 81 --open --cors http://a --cors http://b --model org/first --context 99"
        more = ["--threads", "3", "--kv", "64M", "--seen", "8M", "--exact", "--fold-messages", "false"]
        assert cli.main([*line.split(), *more]) == 0
        ((_, config),) = build.calls
        assert (config.server.host, config.server.port, config.server.open) == ("0.0.0.0", 81, True)
        assert config.server.cors == ["http://a", "http://b"]
        assert (config.engine.context, config.engine.threads, config.engine.kv) == (99, 3, 64 << 20)
        assert (config.engine.exact, config.engine.fold_messages) == (True, False)
        assert config.images.seen == 8 << 20

    def test_the_default_model_is_fetched_first(
        self, build: Build, there: hub.Hub, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["serve"]) == 0
        assert build.calls[0][1].engine.model == ["org/first"]
        assert "Fetching org/first, the model to begin with." in capsys.readouterr().err

    def test_what_is_here_is_served_and_nothing_fetched(self, build: Build, there: hub.Hub) -> None:
        cli.main(["pull", "second"])
        asked = there.listings
        assert cli.main(["serve"]) == 0
        assert build.calls[0][1].engine.model == ["org/second"]
        assert there.listings == asked

    def test_a_model_that_comes_with_us_is_put_beside_the_default_one(
        self, build: Build, there: hub.Hub, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (home / "ours" / "third").mkdir(parents=True)
        for name, body in hub.tensors().items():
            (home / "ours" / "third" / name).write_bytes(body)
        monkeypatch.setattr(local, "_HOMES", (home / "ours",))
        digest = hashlib.sha256(hub.tensors()["model.safetensors"]).hexdigest()
        third = Row(id="us/third", source=Shipped("third", digest), context=512, licence="none", description="")
        before = catalog.rows()
        monkeypatch.setattr(catalog, "rows", lambda: (*before, third))
        for _ in range(2):
            assert cli.main(["serve"]) == 0
            assert build.calls[-1][1].engine.model == ["org/first"]
            installed = Store(build.calls[-1][1].store.path).list()
            assert [model.id for model in installed] == ["org/first", "us/third"]

    def test_where_a_model_of_ours_is_damaged_the_others_are_served(
        self, build: Build, there: hub.Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        third = Row(id="us/third", source=Shipped("third", "0" * 64), context=512, licence="none", description="")
        before = catalog.rows()
        monkeypatch.setattr(catalog, "rows", lambda: (*before, third))
        assert cli.main(["serve"]) == 0
        assert build.calls[0][1].engine.model == ["org/first"]
        assert "us/third is not offered: the weights of third are not in this" in capsys.readouterr().err

    def test_another_that_is_missing_is_not_fetched(
        self, build: Build, there: hub.Hub, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["serve", "--model", "org/second"]) == 1
        assert "org/second is not installed; `tertulia pull org/second` fetches it" in capsys.readouterr().err
        assert cli.main(["serve", "--model", "secnod"]) == 1
        assert "did you mean org/second?" in capsys.readouterr().err
        assert build.calls == []
        assert there.listings == 0

    def test_it_says_how_to_try_it(self, build: Build, there: hub.Hub, capsys: pytest.CaptureFixture[str]) -> None:
        cli.main(["serve", "--port", "8099"])
        told = capsys.readouterr().out
        for part in (
            "Tertulia answers at http://127.0.0.1:8099/v1 with org/first",
            "curl http://127.0.0.1:8099/v1/chat/completions -H 'Content-Type: application/json' -d '{\"messages\"",
            "  http://127.0.0.1:8099    in a browser",
            'OpenAI(base_url="http://127.0.0.1:8099/v1", api_key="none")',
            "tertulia chat --url http://127.0.0.1:8099/v1\n",
        ):
            assert part in told

    def test_where_tokens_are_wanted_it_says_so_and_shows_none(
        self, build: Build, there: hub.Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TERTULIA_TOKENS", "s3cret")
        cli.main(["serve"])
        told = capsys.readouterr().out
        assert "-H 'Authorization: Bearer TOKEN'" in told
        assert "s3cret" not in told

    def test_what_is_wrong_in_the_configuration(self, build: Build, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["serve", "--port", "http"]) == 1
        assert (
            capsys.readouterr().err == "tertulia: --port: 'http' is not a whole number (sizes may end in K, M or G)\n"
        )

    def test_ends_by_error_and_by_ctrl_c(
        self, build: Build, there: hub.Hub, capsys: pytest.CaptureFixture[str]
    ) -> None:
        build.error = ConfigError("port 8080 is taken")
        assert cli.main(["serve"]) == 1
        assert "tertulia: port 8080 is taken\n" in capsys.readouterr().err
        build.error = KeyboardInterrupt()
        assert cli.main(["serve"]) == 130

    def test_engine(self, build: Build) -> None:
        assert cli.main(["engine", "--socket", "/tmp/s", "--model", "org/first", "--threads", "2"]) == 0
        ((_, config, socket),) = build.calls
        assert (config.engine.model, config.engine.threads, socket) == (["org/first"], 2, Path("/tmp/s"))


class Pipe:
    """Standard input, as a terminal or as a pipe."""

    def __init__(self, text: str, terminal: bool) -> None:
        self.text = text
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    def read(self) -> str:
        return self.text


class TestChat:
    def test_one_question(self, build: Build, there: hub.Hub, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["chat", "--temperature", "0", "--system", "Be brief.", "Hello", "there"]) == 0
        assert capsys.readouterr().out == "You said: Hello there\n"
        assert build.calls == [("local", "org/first")]
        (asked,) = build.backend.asked
        assert [(message.role, message.content) for message in asked.messages] == [
            ("system", "Be brief."),
            ("user", "Hello there"),
        ]
        assert (asked.temperature, asked.stream) == (0, True)
        assert build.backend.closed

    def test_a_pipe_is_one_question(
        self, build: Build, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "stdin", Pipe("What is this?\n", terminal=False))
        assert cli.main(["chat", "--url", "http://x/v1", "--token", "t", "--model", "m"]) == 0
        assert capsys.readouterr().out == "You said: What is this?\n"
        assert build.calls == [("remote", "http://x/v1", "t")]
        assert build.backend.asked[0].model == "m"

    def test_nothing_to_ask(
        self, build: Build, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "stdin", Pipe("", terminal=False))
        assert cli.main(["chat"]) == 1
        assert "there is nothing to ask" in capsys.readouterr().err

    def test_what_can_not_be_asked_for(self, build: Build, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["chat", "--url", "http://x", "--temperature", "3", "Hello"]) == 1
        assert "Expected `float` <= 2.0 - at `$.temperature`" in capsys.readouterr().err

    def test_taking_turns(
        self, build: Build, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lines = iter(["one", "", "two", "/exit"])
        monkeypatch.setattr(sys, "stdin", Pipe("", terminal=True))
        monkeypatch.setattr("builtins.input", lambda prompt: next(lines))
        assert cli.main(["chat", "--url", "http://x"]) == 0
        assert capsys.readouterr().out == f"{terminal.HELP}\nYou said: one\nYou said: two\n"
        assert [message.content for message in build.backend.asked[1].messages] == ["one", "You said: one", "two"]

    def test_failing_is_told_and_ends_it(self, build: Build, capsys: pytest.CaptureFixture[str]) -> None:
        build.backend.pieces = lambda request: ["FAIL"]
        assert cli.main(["chat", "--url", "http://x", "Hello"]) == 1
        assert capsys.readouterr().err == "tertulia: it broke\n"
        assert build.backend.closed

    def test_ctrl_c_ends_one_question(self, build: Build) -> None:
        build.backend.pieces = lambda request: ["I was ", "CTRL-C"]
        assert cli.main(["chat", "--url", "http://x", "Hello"]) == 130
        assert build.backend.closed


def test_a_reader_that_leaves_is_no_error(home: Path) -> None:
    command = [sys.executable, "-m", "tertulia.cli", "models"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as models:
        assert models.stdout and models.stderr
        models.stdout.close()
        assert models.stderr.read() == b""
    assert models.returncode == 1

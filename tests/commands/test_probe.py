"""`tertulia probe` over real servers: what is printed, what is kept, and how it ends."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from mind import Mind
from service import default_model, environment
from tertulia import cli
from tertulia.config import Config
from tertulia.errors import Busy, TertuliaError
from tertulia.router.findings import Probes
from tertulia.server.app import running

Probe = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "probes.json"


@pytest.fixture
async def serve(tmp_path: Path, file: Path) -> AsyncGenerator[Callable[..., Awaitable[None]], None]:
    """Serves minds as providers, with a configuration file that says so."""
    servers: list[Any] = []
    lines = [f'[store]\npath = "{tmp_path}"\n[router]\nprobes = "{file}"']

    async def start(name: str, mind: Mind, price: str = "") -> None:
        settings = Config()
        settings.server.port, settings.server.grace = 0, 0.1
        server = running(mind, settings)
        servers.append(server)
        address = await server.__aenter__()
        lines.append(f'[providers.{name}]\nbase_url = "{address}/v1"\nmodels = {{"org/model" = "test/mind"}}\n{price}')
        (tmp_path / "config.toml").write_text("\n".join(lines))

    yield start
    for server in servers:
        await server.__aexit__(None, None, None)


@pytest.fixture
def probe(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Probe:
    monkeypatch.setenv("HOME", str(tmp_path))

    async def run(*arguments: str) -> tuple[int, str, str]:
        command = ["probe", "--config", str(tmp_path / "config.toml"), *arguments]
        status = await asyncio.to_thread(cli.main, command)
        return status, *capsys.readouterr()

    return run


def table(said: str) -> dict[str, str]:
    """What is said of each field."""
    lines = (line.split(maxsplit=1) for line in said.splitlines() if line.startswith("  "))
    return {name: rest for name, rest in lines if not name.isdigit()}


async def test_it_tells_what_works_and_why_the_rest_does_not(
    serve: Callable[..., Awaitable[None]], probe: Probe, file: Path
) -> None:
    raises: dict[str, TertuliaError] = {"logprobs": Busy("slow down")}
    await serve("far", Mind(ignores=("n",), raises=raises), "price = [1, 10]")
    status, said, _ = await probe("org/model:far")
    assert status == 0
    assert said.startswith("org/model at far\n")
    told = table(said)
    assert told["tools"] == told["response_format"] == told["seed"] == "works"
    assert told["n"] == "doesn't  1 of 2 answers came"
    assert told["logprobs"].startswith("unknown  429: ")
    assert "slow down" in told["logprobs"]
    cost = float(said.splitlines()[-2].partition("$")[2])
    assert 0 < cost < 0.01
    kept = Probes(file).fields("far", "org/model")
    assert (kept["n"][0], kept["tools"][0], "logprobs" in kept) == (False, True, False)


async def test_without_a_provider_every_one_is_asked(
    serve: Callable[..., Awaitable[None]], probe: Probe, file: Path
) -> None:
    await serve("far", Mind())
    await serve("near", Mind(ignores=("stop",)), "price = [0, 0]")
    status, said, _ = await probe("org/model")
    assert status == 0
    far, near = said.split("org/model at ")[1:]
    assert (table(far)["stop"], table(near)["stop"]) == ("works", "doesn't  the word to stop at is in its answer")
    assert "at a price that is not known" in far
    assert near.splitlines()[-1] == "In all: at a price that is not known"
    assert Probes(file).fields("near", "org/model")["stop"][0] is False


async def test_all_are_all(serve: Callable[..., Awaitable[None]], probe: Probe) -> None:
    await serve("far", Mind())
    status, said, _ = await probe("--all")
    assert status == 0
    assert "org/model at far" in said


async def test_a_provider_that_can_not_be_asked_is_an_error(
    serve: Callable[..., Awaitable[None]], probe: Probe, file: Path
) -> None:
    await serve("far", Mind(raises={"plain": Busy("slow down")}))
    status, said, error = await probe("org/model:far")
    assert status == 1
    assert "usage            unknown  429: " in said
    assert error == "tertulia: nobody could be asked\n"
    assert not Probes(file).fields("far", "org/model")


async def test_an_unknown_model_is_told_with_what_is_near(serve: Callable[..., Awaitable[None]], probe: Probe) -> None:
    await serve("far", Mind())
    status, said, error = await probe("org/modle")
    assert (status, said) == (1, "")
    assert "org/model" in error


def test_the_model_of_this_machine_is_honest_about_itself(tmp_path: Path) -> None:
    model = default_model()
    env = environment(tmp_path) | {"TERTULIA_ROUTER_PROBES": str(tmp_path / "probes.json"), "TERTULIA_ENGINE_KV": "64M"}
    command = [sys.executable, "-m", "tertulia.cli", "probe", f"{model}:local"]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=55)
    assert ended.returncode == 0, ended.stderr
    told = table(ended.stdout)
    sure = ("usage", "tool_choice", "response_format", "logprobs", "seed", "n", "stop")
    assert {name: told[name] for name in sure} == dict.fromkeys(sure, "works")
    assert told["tools"].startswith(("works", "unknown"))
    assert "image" not in told
    assert " tokens, $0\n" in ended.stdout
    assert Probes(tmp_path / "probes.json").fields("local", model)["tool_choice"][0] is True

"""`tertulia models` and its --refresh, against sites on loopback."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from listing import Site, mapped, site
from tertulia import cli
from tertulia.catalog import live
from tertulia.providers import table

LLAMA = "meta-llama/Llama-3.3-70B-Instruct"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    for row in table.shipped().values():
        for key in row.keys:
            monkeypatch.delenv(key, raising=False)
    return tmp_path


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with site() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        yield served


def settings(home: Path, text: str) -> list[str]:
    file = home / "c.toml"
    file.write_text(text, encoding="utf-8")
    return ["models", "--config", str(file)]


def test_without_a_key_it_says_who_would_serve_what(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["models"]) == 0
    told = capsys.readouterr().out
    assert "once a key of theirs is set" in told
    assert f"{LLAMA}  context 131072\n    featherless-ai, nscale $0.2/$0.2, deepinfra $0.23/$0.4, " in told
    assert "As shipped: `tertulia models --refresh`" in told
    to_be_had = told.partition("To be had with")[2]
    assert "google/gemma-2-2b-it" in to_be_had
    assert LLAMA not in to_be_had


def test_with_a_key_it_tells_of_that_provider_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("SCW_SECRET_KEY", "k")
    assert cli.main(["models"]) == 0
    told = capsys.readouterr().out
    assert f"Served by providers:\n{LLAMA}  context 128000\n    scaleway $0.9/$0.9\nAs shipped" in told


def test_refresh_asks_the_users_own_provider_and_the_hub_and_keeps_it(
    home: Path, there: Site, capsys: pytest.CaptureFixture[str]
):
    there.answers["/v1/models"] = 200, {"data": [{"id": "o/mine", "max_model_len": 4096}]}, {}
    there.answers["/api/models"] = 200, [mapped("o/hub", "groq", "h"), mapped(LLAMA, "groq", "l")], {}
    command = settings(home, f'[providers.mine]\nbase_url = "{there.url}/v1"\nkey = "sk-mine"\n')
    assert cli.main([*command, "--refresh"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert "\no/mine  context 4096\n    mine\n" in told.out
    assert re.search(r"\nAsked \d+ seconds ago: hub, mine\.\n", told.out)
    assert ("/v1/models", "Bearer sk-mine") in there.asked
    said = live.read(home / "tertulia" / "catalog.json")
    assert (said.models[LLAMA]["groq"].id, "o/hub" in said.models) == ("l", False)
    there.asked.clear()
    assert cli.main(command) == 0
    assert "o/mine" in capsys.readouterr().out
    assert there.asked == []
    assert "sk-mine" not in (home / "tertulia" / "catalog.json").read_text(encoding="utf-8")


def test_who_did_not_tell_is_named_and_what_was_known_stays(
    home: Path, there: Site, capsys: pytest.CaptureFixture[str]
):
    there.answers["/v1/models"] = 200, {"data": [{"id": "o/mine"}]}, {}
    command = settings(home, f'[providers.mine]\nbase_url = "{there.url}/v1"\n')
    assert cli.main([*command, "--refresh"]) == 0
    assert capsys.readouterr().err == "hub did not tell: it has no list of models (HTTP 404)\n"
    there.answers.clear()
    assert cli.main([*command, "--refresh"]) == 1
    told = capsys.readouterr()
    assert "mine did not tell: it has no list of models" in told.err
    assert "nobody could be asked" in told.err
    assert cli.main(command) == 0
    assert "o/mine" in capsys.readouterr().out

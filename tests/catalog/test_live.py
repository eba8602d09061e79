"""What providers and the Hub said: merged over what is shipped, and kept."""

import logging
from pathlib import Path
from typing import Any

import pytest

from tertulia.catalog import catalog, live
from tertulia.catalog.catalog import Listing
from tertulia.catalog.live import Live
from tertulia.catalog.told import Mapping, Told

LLAMA = "meta-llama/Llama-3.3-70B-Instruct"
NOW = 1_790_000_000


# ---------------------------------------------------------------- merging


def merge(old: Live | None = None, now: int = NOW, **said: Any) -> Live:
    told_of = said.get("told", {})
    wanted = said.get("wanted", set(told_of))
    return live.merge(old or Live(), told_of, said.get("mapped"), said.get("parts", {}), wanted, now)


def test_nothing_said_leaves_what_is_shipped():
    row = catalog.find(LLAMA)
    assert row is not None
    assert Live().listings()[LLAMA] == row.providers
    assert Live().rows() == catalog.rows()


def test_what_a_provider_says_wins_and_what_it_leaves_open_stays():
    said = merge(told={"nscale": [Told(id=LLAMA, context=9000)], "deepinfra": [Told(id=LLAMA, price=(1, 2))]})
    of = said.listings()[LLAMA]
    assert of["nscale"] == Listing(id=LLAMA, context=9000, price=(0.2, 0.2), seen=NOW)
    assert (of["deepinfra"].context, of["deepinfra"].price, of["deepinfra"].fields) == (131072, (1, 2), {"tools": True})
    assert of["novita"].live and not of["novita"].seen


def test_a_shipped_listing_that_its_provider_no_longer_names_is_not_live():
    of = merge(told={"novita": [Told(id="other/model")]}).listings()
    assert not of[LLAMA]["novita"].live
    assert of["other/model"]["novita"].live


def test_an_id_there_is_found_here_by_table_by_mapping_or_by_its_whole_name():
    mapped = [Mapping(model="o/New", provider="fireworks-ai", id="accounts/fireworks/models/new", input=("text",))]
    items = [Told(id="accounts/fireworks/models/llama-v3p3-70b-instruct", context=7), Told(id=mapped[0].id, context=8)]
    of = merge(told={"fireworks-ai": items, "x": [Told(id=LLAMA.upper())]}, mapped=mapped).listings()
    assert of[LLAMA]["fireworks-ai"].context == 7
    assert of["o/New"]["fireworks-ai"] == Listing(id=mapped[0].id, context=8, seen=NOW)
    assert of[LLAMA]["x"].id == LLAMA.upper()
    assert mapped[0].id not in of


def test_what_the_hub_says_of_models_stays_until_it_says_otherwise():
    mapped = [
        Mapping(model=LLAMA, provider="groq", id="l", trending=7.5, released="2024-11-26"),
        Mapping(model="o/New", provider="groq", id="n", input=("text",), trending=9, released="2026-01-02"),
        Mapping(model="o/Far", provider="else", id="f", input=("text",), trending=99),
    ]
    said = merge(mapped=mapped, wanted={"groq"})
    assert said.trending == {LLAMA: 7.5, "o/New": 9}
    rows = {row.id: row for row in said.rows()}
    assert (rows["o/New"].trending, rows["o/New"].released) == (9, "2026-01-02")
    shipped = catalog.find(LLAMA)
    assert shipped and (rows[LLAMA].trending, rows[LLAMA].released) == (7.5, shipped.released)
    assert merge(said, told={"groq": [Told(id="n")]}).trending == said.trending
    assert merge(said, mapped=[mapped[1]], wanted={"groq"}).trending == {"o/New": 9}


def test_a_short_name_elsewhere_is_not_taken_for_ours():
    of = merge(told={"ollama": [Told(id="deepseek-r1")]}).listings()
    assert "ollama" not in of["deepseek-ai/DeepSeek-R1"]
    assert of["deepseek-r1"]["ollama"].id == "deepseek-r1"


def test_a_model_that_nobody_knew_is_in_the_catalog_from_then_on():
    said = merge(told={"x": [Told(id="o/Sees", context=5, input=("text", "image")), Told(id="o/Silent")]})
    rows = {row.id: row for row in said.rows()}
    assert (rows["o/Sees"].input, rows["o/Sees"].context) == (("text", "image"), 5)
    assert "o/Silent" not in rows  # whether it sees is not known
    assert said.listings()["o/Silent"]["x"].live


def test_of_the_hub_only_what_can_be_used_is_kept():
    mapped = [
        Mapping(model="o/M", provider="groq", id="m", input=("text",)),
        Mapping(model="o/M", provider="hf-inference", id="o/M", input=("text",)),
        Mapping(model=LLAMA, provider="groq", id="llama-3.3-70b-versatile", input=("text",)),
    ]
    said = merge(mapped=mapped, wanted={"hf-inference"})
    assert set(said.models["o/M"]) == {"hf-inference"}
    assert said.models[LLAMA]["groq"].id == "llama-3.3-70b-versatile"
    assert said.asked == {live.HUB: NOW}


def test_the_routers_facts_of_others_fill_what_is_known_of_them():
    parts = {(LLAMA, "nscale"): Told(id=LLAMA, context=77), (LLAMA, "unknown"): Told(id=LLAMA)}
    of = merge(parts=parts).listings()[LLAMA]
    assert (of["nscale"].context, of["nscale"].price) == (77, (0.2, 0.2))
    assert "unknown" not in of


def test_who_did_not_answer_keeps_what_it_said_and_who_did_is_believed_whole():
    mapping = Mapping(model="o/M", provider="hf-inference", id="o/M", input=("text",))
    old = merge(
        told={"x": [Told(id="a"), Told(id="b")], "y": [Told(id="c")]}, mapped=[mapping], wanted={"hf-inference"}
    )
    new = merge(old, NOW + 9, told={"x": [Told(id="a", context=3)]})
    assert new.models["a"]["x"] == Listing(id="a", context=3, seen=NOW + 9)
    assert "b" not in new.models
    assert new.models["c"]["y"].seen == NOW
    assert "hf-inference" in new.models["o/M"]
    assert new.asked == {"x": NOW + 9, "y": NOW, live.HUB: NOW}
    assert "o/M" not in merge(new, mapped=[]).models  # all that was known of it came from the Hub


# ---------------------------------------------------------------- keeping


def test_it_is_kept_beside_the_store_and_read_as_it_was(tmp_path: Path):
    file = live.beside(tmp_path / "tertulia" / "models")
    assert live.read(file) == Live()
    said = merge(told={"x": [Told(id="o/M", price=(0.5, 1), fields={"tools": True}, input=("text",))]})
    live.write(file, said)
    assert live.read(file) == said
    assert [path.name for path in file.parent.iterdir()] == ["catalog.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"models": 7}', b"\xff\xfe", b'{"version": 99}'])
def test_a_file_that_can_not_be_read_is_left_aside(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture):
    file = tmp_path / "catalog.json"
    file.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert live.read(file) == Live()
    assert ("--refresh" in caplog.text) == (b"99" not in content)


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "catalog.json"
    live.write(file, Live(asked={"x": 1}))

    def fail(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        live.write(file, Live(asked={"x": 2}))
    assert live.read(file).asked == {"x": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["catalog.json"]

"""A model that comes with Tertulia: put into the store without a network, and as it was meant."""

import hashlib
from pathlib import Path

import pytest

import hub
from tertulia.catalog import catalog, local
from tertulia.catalog.catalog import Row, Shipped
from tertulia.catalog.store import Store
from tertulia.errors import StoreError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that its weights come in."""
    folder = tmp_path / "models" / "mine"
    folder.mkdir(parents=True)
    for name, body in hub.tensors().items():
        (folder / name).write_bytes(body)
    monkeypatch.setattr(local, "_HOMES", (tmp_path / "nowhere", folder.parent))
    return folder


def offer(monkeypatch: pytest.MonkeyPatch, home: Path, sha256: str = "") -> Store:
    found = sha256 or hashlib.sha256((home / "model.safetensors").read_bytes()).hexdigest()
    row = Row(id="us/mine", context=64, licence="Apache-2.0", description="", source=Shipped("mine", found))
    monkeypatch.setattr(catalog, "rows", lambda: (row,))
    return Store(home.parents[1] / "store", "http://127.0.0.1:9")


def test_it_is_put_into_the_store(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = offer(monkeypatch, home)
    assert [row.id for row in catalog.shipped()] == ["us/mine"]
    model = store.pull("mine")
    assert (model.id, model.source) == ("us/mine", "shipped:mine")
    assert {file.name for file in model.files} == set(hub.tensors())
    assert store.pull("us/mine") == model


def test_a_later_version_takes_the_place_of_an_earlier_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = offer(monkeypatch, home).pull("mine")
    (home / "model.safetensors").unlink()
    (home / "model.safetensors").write_bytes(hub.noise(6000))
    store = offer(monkeypatch, home)
    after = store.pull("mine")
    assert after.sha256 != before.sha256
    assert store.list() == [after]


def test_other_weights_than_those_that_were_meant_are_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = offer(monkeypatch, home, "0" * 64)
    with pytest.raises(StoreError, match="not those that this version of Tertulia was made with"):
        store.pull("mine")
    assert store.list() == []


def test_an_installation_without_it_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = offer(monkeypatch, home)
    monkeypatch.setattr(local, "_HOMES", ())
    with pytest.raises(StoreError, match="the weights of mine are not in this installation of Tertulia"):
        store.pull("mine")

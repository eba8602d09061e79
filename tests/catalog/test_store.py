"""The store itself: local paths, names, removal, whole or not at all."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import hub
from tertulia.catalog import files, local
from tertulia.catalog.progress import Progress
from tertulia.catalog.store import Store
from tertulia.errors import StoreError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", "http://127.0.0.1:9")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    hub.write_gguf(tmp_path / "my model.Q8_0.gguf")
    return tmp_path / "my model.Q8_0.gguf"


def test_a_gguf_file(store: Store, mine: Path) -> None:
    model = store.pull(str(mine))
    assert (model.id, model.source) == ("my-model.Q8_0", f"path:{mine}")
    assert model.weights[0].samefile(mine), "a hard link, where the disk is the same"
    assert store.pull(str(mine)) == model


def test_a_folder(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, body in hub.tensors(**{"notes.txt": b"mine"}).items():
        (folder / name).write_bytes(body)
    model = store.pull(str(folder), rename="me/mine")
    assert (model.id, model.format) == ("me/mine", "safetensors")
    assert {file.name for file in model.files} == set(hub.tensors())


def test_another_disk_means_a_copy(store: Store, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*names: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(local.os, "link", refuse)
    copy = store.pull(str(mine)).weights[0]
    assert copy.read_bytes() == mine.read_bytes()
    assert not copy.samefile(mine)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("./nowhere.gguf", "there is nothing at nowhere.gguf"),
        ("smollm", None),
        ("smolm3", "no model is called 'smolm3'; did you mean HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("zzzzzzzz", "known by name are HuggingFaceTB/SmolLM2-135M-Instruct, tertulia/sight, Qwen/Qwen2.5-Coder"),
        ("a/b/c", "OWNER/NAME"),
        ("a/..", "can't be the name of a model"),
    ],
)
def test_names_that_mean_nothing_say_what_would(store: Store, name: str, told: str | None) -> None:
    if told:
        with pytest.raises(StoreError) as caught:
            store.pull(name)
        assert told in caught.value.message
    else:
        assert store.find(name) is None


def test_a_name_can_not_lead_out_of_the_store(store: Store, mine: Path) -> None:
    for name in ("..", "../x", "/x", ".locks", "a/b/c", ""):
        with pytest.raises(StoreError, match="can't be the name of a model"):
            store.pull(str(mine), rename=name)


def test_what_is_no_model(store: Store, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("words")
    with pytest.raises(StoreError, match="neither a GGUF file nor a folder"):
        store.pull(str(tmp_path / "notes.txt"))
    (tmp_path / "cut.gguf").write_bytes(hub.write_gguf(tmp_path / "x.gguf")[:-40])
    with pytest.raises(StoreError, match=r"cut\.gguf is not a whole GGUF file"):
        store.pull(str(tmp_path / "cut.gguf"))
    assert store.list() == []


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({}, "tokenizer_config.json"),
        ({"chat_template.jinja": b"{{ messages }}"}, "chat_template.jinja"),
        ({"chat_template.json": b"{}"}, "chat_template.json"),
        ({"tokenizer_config.json": b"{}"}, "none"),
    ],
)
def test_where_the_template_is(store: Store, tmp_path: Path, more: dict[str, bytes], where: str) -> None:
    for name, body in hub.tensors(**more).items():
        (tmp_path / name).write_bytes(body)
    assert store.pull(str(tmp_path), rename="x").template == where


@pytest.mark.parametrize("said", [b"{", b"[]", b"\xff"])
def test_a_config_that_can_not_be_read_leaves_nothing(store: Store, tmp_path: Path, said: bytes) -> None:
    for name, body in hub.tensors(**{"config.json": said}).items():
        (tmp_path / name).write_bytes(body)
    with pytest.raises(StoreError, match=r"config\.json"):
        store.pull(str(tmp_path), rename="x")
    assert store.list() == []
    assert not list((store.path / ".staging").iterdir())


def test_a_name_that_is_taken(store: Store, mine: Path, tmp_path: Path) -> None:
    store.pull(str(mine), rename="x")
    other = tmp_path / "other.gguf"
    other.write_bytes(mine.read_bytes())
    with pytest.raises(StoreError, match=r"x is installed already, from path:.*my model.*\(--as NAME\)"):
        store.pull(str(other), rename="x")


def test_remove(store: Store, mine: Path) -> None:
    model = store.pull(str(mine), rename="org/mine")
    assert store.remove("MINE") == "org/mine"
    assert store.list() == []
    assert not model.folder.exists()
    assert mine.exists()
    with pytest.raises(StoreError, match=r"mine is not installed; installed are none|no model is called 'mine'"):
        store.remove("mine")


def test_remove_clears_what_a_cut_off_pull_left(store: Store) -> None:
    staging = store.path / ".staging" / "org--model"
    staging.mkdir(parents=True)
    (staging / "model.gguf.part").write_bytes(b"half")
    assert store.remove("org/model") == "org/model"
    assert not staging.exists()


def test_remove_names_the_nearest(store: Store, mine: Path) -> None:
    store.pull(str(mine), rename="org/something")
    with pytest.raises(StoreError, match="org/somethink is not installed; did you mean org/something"):
        store.remove("org/somethink")


def test_a_manifest_that_can_not_be_read_hides_its_model_only(
    store: Store, mine: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.pull(str(mine), rename="good")
    bad = store.pull(str(mine), rename="bad")
    (bad.folder / "manifest.json").write_text("{")
    assert [model.id for model in store.list()] == ["good"]
    assert "its manifest can't be read" in caplog.text
    assert store.pull(str(mine), rename="bad").id == "bad", "pulled anew"


def test_manifest_says_where_it_came_from(store: Store, mine: Path) -> None:
    model = store.pull(str(mine))
    written = json.loads((model.folder / "manifest.json").read_text())
    assert written["source"] == f"path:{mine}"
    assert (written["quantization"], written["template"], written["tokenizer"]) == ("Q8_0", "gguf", "gguf")
    assert written["files"] == [{"name": mine.name, "sha256": model.sha256, "bytes": model.bytes}]
    assert abs(written["created"] - time.time()) < 60


DEADLY = """
import os, sys
from pathlib import Path
from tertulia.catalog import files, manifest, store
owner, name = {"write": (manifest, "write"), "settle": (store, "settle"), "names": (store, "settle_names"),
               "link": (store, "from_path"), "replace": (Path, "replace")}[sys.argv[3]]
real = getattr(owner, name)
def die(*args, **more):
    if sys.argv[4] == "after":
        real(*args, **more)
    os.kill(os.getpid(), 9)
setattr(owner, name, die)
store.Store(Path(sys.argv[1])).pull(sys.argv[2])
"""


@pytest.mark.parametrize(
    ("moment", "when", "whole"),
    [
        ("link", "after", False),
        ("write", "after", False),
        ("settle", "after", False),
        ("replace", "before", False),
        ("replace", "after", True),
        ("names", "before", True),
    ],
)
def test_killed_at_any_moment(store: Store, mine: Path, moment: str, when: str, whole: bool) -> None:
    command = [sys.executable, "-c", DEADLY, str(store.path), str(mine), moment, when]
    assert subprocess.run(command, check=False).returncode == -9
    assert bool(store.list()) is whole
    model = store.pull(str(mine))
    assert model.weights[0].read_bytes() == mine.read_bytes()
    assert not list((store.path / ".staging").iterdir())


def test_two_pulls_of_one_model_take_turns(store: Store, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = threading.Event()
    real = local.weigh
    monkeypatch.setattr(local, "weigh", lambda *args: (slow.wait(10), real(*args))[1])
    said: list[str] = []

    def tell(line: str) -> None:
        said.append(line)
        slow.set()

    first = threading.Thread(target=store.pull, args=[str(mine)])
    first.start()
    while not list(store.path.rglob("*.gguf")):
        time.sleep(0.005)
    model = store.pull(str(mine), progress=Progress(tell))
    first.join()
    assert said == [f"{model.id} is being pulled or removed by somebody else; waiting"]
    assert store.list() == [model]


def test_a_folder_that_may_not_be_written(mine: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"pulling .* failed: Not a directory|File exists"):
        Store(tmp_path / "file" / "models").pull(str(mine))


def test_quick_where_there_is_nothing(tmp_path: Path) -> None:
    assert Store(tmp_path / "none").list() == []
    assert Store(tmp_path / "none").find("x") is None


def test_free_is_what_the_disk_has(tmp_path: Path) -> None:
    assert files.free(tmp_path) == pytest.approx(os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize, rel=0.1)

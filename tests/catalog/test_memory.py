"""What a model takes of memory, told before it is loaded."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from msgspec import structs

import hub
import seeing
from tertulia.catalog import manifest, memory
from tertulia.catalog.files import File
from tertulia.catalog.progress import Progress
from tertulia.catalog.store import Store
from tertulia.catalog.tensors import Held
from tertulia.errors import StoreError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", "http://127.0.0.1:9")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    hub.write_gguf(tmp_path / "my model.Q8_0.gguf")
    return tmp_path / "my model.Q8_0.gguf"


def sighted(folder: Path, name: str = "smolvlm") -> manifest.Installed:
    """A tiny model that sees, in float32."""
    seeing.write(name, folder)
    files = tuple(File(path.name, "0" * 64, path.stat().st_size) for path in sorted(folder.iterdir()))
    return structs.replace(manifest.write(folder, f"tiny/{name}", "a test", files), quantization="F32")


def in_matrices(tensors: dict[str, np.ndarray], part: str = "") -> int:
    """The weights of the matrices whose names hold ``part``."""
    return sum(tensor.size for name, tensor in tensors.items() if part in name and tensor.ndim > 1)


def test_too_little_is_told_in_numbers(store: Store, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = store.pull(str(mine))
    monkeypatch.setattr(memory, "available", lambda: 500_000_000)
    memory.check_memory(model, kv=0)
    with pytest.raises(StoreError, match=r"about 1.4 GB of memory \(1.1 GB of it for the KV pool\) and 500 MB are"):
        memory.check_memory(model, kv=1 << 30)


def test_a_pull_only_warns(store: Store, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 1_000_000)
    said: list[str] = []
    assert store.pull(str(mine), progress=Progress(said.append))
    assert said[0].startswith("beware: my-model.Q8_0 needs about 315 MB of memory and 1 MB are available")


def test_nobody_says(store: Store, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: None)
    memory.check_memory(store.pull(str(mine)), kv=1 << 50)


def test_what_sees_counts_in_float32_and_so_does_what_was_seen(tmp_path: Path) -> None:
    model = sighted(tmp_path)
    parts = seeing.tensors("smolvlm").items()
    eyes = sum(tensor.size for name, tensor in parts if not name.startswith("model.text_model"))
    needed = memory.estimate(model, kv=0, weights="f32")
    assert needed == in_matrices(seeing.tensors("smolvlm"), "text_model") * 8 + 11 * eyes + (300 << 20)
    assert memory.estimate(model, kv=1000, seen=500) == memory.estimate(model, kv=0) + 1500


@pytest.mark.parametrize("name", seeing.QWEN)
def test_a_large_tower_counts_at_eight_bits(tmp_path: Path, name: str) -> None:
    model = sighted(tmp_path, name)
    tensors = seeing.tensors(name)
    eyes = sum(tensor.size for key, tensor in tensors.items() if "visual" in key)
    text = in_matrices({key: tensor for key, tensor in tensors.items() if "visual" not in key}) * 2.54
    if "lm_head.weight" in tensors:
        text -= tensors["model.embed_tokens.weight"].size * 1.38
    assert abs(memory.estimate(model, kv=0) - (300 << 20) - text - 3.3 * eyes) < 10


@pytest.mark.parametrize(("kind", "each"), [("Q4_0", 1.31), ("Q8_0", 2.54), ("Q4_K", 2.54), ("F16", 8), ("BF16", 8)])
def test_gguf_files_count_as_they_are_loaded(store: Store, mine: Path, kind: str, each: float) -> None:
    held = Held(multiplied={kind: 1_000_000}, looked_up={})
    model = structs.replace(store.pull(str(mine)), held=held)
    assert memory.estimate(model, kv=0) == 1_000_000 * each + (300 << 20)


def test_an_embedding_that_is_only_looked_up_counts_once(store: Store, mine: Path) -> None:
    both, one = Held({"Q8_0": 2_000_000}), Held({"Q8_0": 1_000_000}, {"Q8_0": 1_000_000})
    model = store.pull(str(mine))
    needed = [memory.estimate(structs.replace(model, held=held), kv=0) for held in (both, one)]
    assert needed[0] - needed[1] == 1_380_000


def test_a_model_of_an_older_manifest_is_counted_by_its_file(store: Store, mine: Path) -> None:
    model = store.pull(str(mine))
    assert model.held.multiplied
    assert memory.estimate(structs.replace(model, held=Held()), kv=0) == memory.estimate(model, kv=0)


def test_a_model_that_only_reads_keeps_nothing_of_pictures(store: Store, mine: Path) -> None:
    model = store.pull(str(mine))
    assert memory.estimate(model, kv=0, seen=1 << 30) == memory.estimate(model, kv=0)


def test_files_that_say_nothing_of_themselves_count_by_their_size(tmp_path: Path) -> None:
    model = structs.replace(sighted(tmp_path), held=Held())
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 100)
    assert memory.estimate(model, kv=0, weights="f32") == model.bytes + (300 << 20)


def test_a_model_that_fits_with_weights_put_aside_is_loaded_so(
    store: Store, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put aside, it takes 1.38 bytes a weight instead of 2.54."""
    model = structs.replace(store.pull(str(mine)), held=Held({"Q8_0": 1_000_000_000}))
    monkeypatch.setattr(memory, "_on_disk", lambda folder: True)
    monkeypatch.setattr(memory.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10_000_000_000))
    needed = 300 << 20
    for there, aside in (
        (needed + 2_540_000_000, False),
        (needed + 2_539_000_000, True),
        (needed + 1_380_000_000, True),
    ):
        monkeypatch.setattr(memory, "available", lambda there=there: there)
        assert memory.check_memory(model, kv=0) == aside
    monkeypatch.setattr(memory, "available", lambda: needed + 1_379_000_000)
    with pytest.raises(StoreError, match=r"about 1\.7 GB"):
        memory.check_memory(model, kv=0)


@pytest.mark.parametrize(("disk", "free"), [(True, 2_000_000_000), (False, 10_000_000_000)])
def test_nothing_is_put_aside_where_it_finds_no_room(
    store: Store, mine: Path, monkeypatch: pytest.MonkeyPatch, disk: bool, free: int
) -> None:
    model = structs.replace(store.pull(str(mine)), held=Held({"Q8_0": 1_000_000_000}))
    monkeypatch.setattr(memory, "_on_disk", lambda folder: disk)
    monkeypatch.setattr(memory.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    monkeypatch.setattr(memory, "available", lambda: 2_500_000_000)
    with pytest.raises(StoreError, match=r"about 2\.9 GB"):
        memory.check_memory(model, kv=0)


@pytest.mark.parametrize(("kind", "disk"), [("ext4", True), ("btrfs", True), ("tmpfs", False), ("ramfs", False)])
def test_a_file_system_in_memory_is_no_disk(tmp_path: Path, kind: str, disk: bool) -> None:
    other = "tmpfs" if disk else "ext4"
    mounts = tmp_path / "mounts"
    rows = [f"1 1 8:1 / / rw - {other} a rw", f"2 1 8:2 / {tmp_path} rw - {other} b rw"]
    rows += [f"3 2 8:3 /x {tmp_path} rw shared:1 - {kind} c rw", f"4 1 8:4 / {tmp_path}2 rw - {other} d rw"]
    mounts.write_text("\n".join(rows))
    assert memory._on_disk(tmp_path, mounts) == disk
    mounts.write_text("")
    assert not memory._on_disk(tmp_path, mounts)


def test_a_container_counts(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 300\n")
    assert memory._container(tmp_path) == 400
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._container(tmp_path) is None


def test_this_machine_says() -> None:
    assert 0 < (memory.available() or 0) < 1 << 50

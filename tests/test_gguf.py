"""The `gguf` package is the oracle: it writes the files, and reads them beside our reader."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from hypothesis import given
from hypothesis import strategies as st

from tertulia.errors import StoreError
from tertulia.gguf import TYPES, read

RANDOM = np.random.default_rng(7)
WORDS = ["<s>", "a", "ção", "日本", "🦜", ""]


def write(path: Path, *, alignment: int = 0) -> Path:
    """A small file with every kind of metadata and every quantisation."""
    writer = gguf.GGUFWriter(path, "llama")
    if alignment:
        writer.add_custom_alignment(alignment)
    writer.add_name("Um nome com acentuação")
    writer.add_uint8("n.u8", 200)
    writer.add_int8("n.i8", -100)
    writer.add_uint16("n.u16", 60_000)
    writer.add_int16("n.i16", -30_000)
    writer.add_uint32("n.u32", 4_000_000_000)
    writer.add_int32("n.i32", -2_000_000_000)
    writer.add_float32("n.f32", 1e-5)
    writer.add_uint64("n.u64", 1 << 63)
    writer.add_int64("n.i64", -(1 << 62))
    writer.add_float64("n.f64", 1e-300)
    writer.add_bool("n.yes", True)
    writer.add_bool("n.no", False)
    writer.add_array("a.words", WORDS)
    writer.add_array("a.ints", [1, -2, 3])
    writer.add_array("a.floats", [0.5, -1.25])
    writer.add_array("a.flags", [True, False, True])
    writer.add_array("a.nested", [[1, 2], [3]])
    for number, (name, block, size) in TYPES.items():
        kind = Kind(number)
        if name in ("F32", "F16"):
            writer.add_tensor(name, RANDOM.normal(size=(3, 4, 5)).astype(np.float32 if name == "F32" else np.float16))
        else:
            data = RANDOM.integers(0, 256, (3, 2 * size), np.uint8)
            assert gguf.GGML_QUANT_SIZES[kind] == (block, size)
            writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(tmp_path_factory.mktemp("gguf") / "whole.gguf").read_bytes()


def flat(value: Any) -> Any:
    """Lists in lists, one after the other: that is how the package reads them."""
    if isinstance(value, list):
        return [item for part in value for item in (flat(part) if isinstance(part, list) else [part])]
    return value


@pytest.mark.parametrize("alignment", [0, 64, 256])
def test_it_reads_what_the_package_reads(tmp_path: Path, alignment: int) -> None:
    path = write(tmp_path / "model.gguf", alignment=alignment)
    ours, theirs = read(path), gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in theirs.fields.items() if not name.startswith("GGUF.")}
    assert list(ours.metadata) == list(fields)
    for name in set(fields) - {"a.nested"}:
        assert ours.metadata[name] == fields[name], name
    assert ours.metadata["a.nested"] == [[1, 2], [3]]
    assert list(ours.tensors) == [tensor.name for tensor in theirs.tensors]
    for tensor in theirs.tensors:
        found = ours.tensors[tensor.name]
        assert found.type == tensor.tensor_type.name
        assert list(found.shape) == [int(extent) for extent in reversed(tensor.shape)]
        assert bytes(found.data) == np.asarray(tensor.data).tobytes()


def test_tensors_are_views_of_the_mapped_file(tmp_path: Path) -> None:
    for tensor in read(write(tmp_path / "model.gguf")).tensors.values():
        assert isinstance(tensor.data, memoryview)
        assert tensor.data.readonly


@pytest.fixture(scope="module")
def attempt(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], bool]:
    """Whether these bytes are read. Anything but an answer or a StoreError fails the test."""
    path = tmp_path_factory.mktemp("bad") / "bad.gguf"

    def attempt(content: bytes) -> bool:
        path.write_bytes(content)
        try:
            file = read(path)
        except StoreError as error:
            assert "bad.gguf" in error.message
            return False
        for tensor in file.tensors.values():
            assert len(tensor.data) <= len(content)
        return True

    return attempt


@given(where=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused(whole: bytes, attempt: Callable[[bytes], bool], where: float) -> None:
    assert not attempt(whole[: int(where * (len(whole) - 256))])


@given(changes=st.lists(st.tuples(st.integers(0, 1600), st.integers(1, 255)), min_size=1, max_size=4))
def test_flipped_bytes_never_crash_the_reader(
    whole: bytes, attempt: Callable[[bytes], bool], changes: list[tuple[int, int]]
) -> None:
    content = bytearray(whole)
    for place, flip in changes:
        content[place] ^= flip
    attempt(bytes(content))


@given(garbage=st.binary(max_size=300))
def test_garbage_after_a_good_beginning_never_crashes_the_reader(
    attempt: Callable[[bytes], bool], garbage: bytes
) -> None:
    attempt(b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + garbage)


def field(name: str, kind: int, payload: bytes) -> bytes:
    return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", kind) + payload


def header(tensors: int, *fields: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, len(fields)) + b"".join(fields)


@pytest.mark.parametrize(
    ("what", "content"),
    [
        ("an empty file", b""),
        ("another format", b"PK\x03\x04" + bytes(100)),
        ("version 1", b"GGUF" + struct.pack("<IQQ", 1, 0, 0) + bytes(64)),
        ("big-endian", b"GGUF" + struct.pack(">IQQ", 3, 0, 0) + bytes(64)),
        ("an unknown kind of value", header(0, field("a", 99, bytes(8)))),
        ("an array of an unknown kind", header(0, field("a", 9, struct.pack("<IQ", 77, 2) + bytes(8)))),
        ("an array longer than memory", header(0, field("a", 9, struct.pack("<IQ", 4, 1 << 61)))),
        ("an array of more strings than bytes", header(0, field("a", 9, struct.pack("<IQ", 8, 1 << 63)))),
        ("a string longer than the file", header(0, field("a", 8, struct.pack("<Q", (1 << 64) - 1)))),
        ("a string that is not UTF-8", header(0, field("a", 8, struct.pack("<Q", 2) + b"\xff\xfe"))),
        ("arrays in arrays without end", header(0, field("a", 9, struct.pack("<IQ", 9, 1) * 100_000))),
        ("an alignment of nothing", header(0, field("general.alignment", 4, bytes(4)))),
        ("an alignment of words", header(0, field("general.alignment", 9, struct.pack("<IQ", 4, 1) + bytes(4)))),
        ("an alignment below zero", header(0, field("general.alignment", 5, struct.pack("<i", -32))) + bytes(64)),
        ("rows of half a block", header(1) + struct.pack("<Q1sIQQIQ", 1, b"t", 2, 16, 2, 8, 0) + bytes(256)),
        ("a tensor of 4 billion dimensions", header(1) + struct.pack("<Q", 1) + b"t" + b"\xff" * 64),
        ("fewer tensors than it says", header(1 << 62)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_gguf_file_is_refused(attempt: Callable[[bytes], bool], what: str, content: bytes) -> None:
    assert not attempt(content), what


def test_a_quantisation_that_is_not_known_is_named(tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    entry = struct.pack("<Q", 4) + b"blk." + struct.pack("<IQIQ", 1, 256, 16, 0)
    path.write_bytes(header(1) + entry + bytes(4096))
    with pytest.raises(StoreError, match=r"blk\..*ggml type 16"):
        read(path)

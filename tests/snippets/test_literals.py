"""Any JSON value, written in each language, is that value there."""

import ast
import asyncio
import json
import shutil
import subprocess
import threading
import time
from functools import reduce
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snipping import HOSTILE, collect, need_node
from tertulia.snippets import javascript, python, shell
from tertulia.snippets.layout import lay

PLACES = st.tuples(st.integers(0, 4), st.integers(0, 100), st.booleans())


def values(numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    text = st.text() | st.text("'\"\\$`\n\t{}<>/! ax", max_size=60)
    leaves = st.none() | st.booleans() | numbers | text
    keys = text | st.sampled_from(["__proto__", "constructor", "a-b", "a_b", "1", "class", "é", ""])
    return st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=20)


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
ANY = values(st.integers() | FLOATS)
SAFE = values(st.integers(-(2**53) + 1, 2**53 - 1) | FLOATS)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same: true is not 1, numbers are the same double."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return one == other or (isinstance(one, int) and isinstance(other, float) and float(one) == other)


DEEP = reduce(lambda inner, level: {"a": [inner, level], "b": {}}, range(15), cast(Any, HOSTILE))


class TestPython:
    @given(ANY, PLACES)
    @example(HOSTILE, (0, 0, False))
    @example(DEEP, (1, 4, True))
    @example({HOSTILE: [HOSTILE, {"": HOSTILE}]}, (2, 9, False))
    def test_a_literal_is_what_it_was_written_from(self, value: Any, place: tuple[int, int, bool]):
        depth, used, broken = place
        found = ast.literal_eval(lay(value, python.STYLE, depth, used, broken=broken))
        assert same(found, value)

    @given(st.text())
    @example(HOSTILE)
    def test_a_string_is_on_one_line_and_all_of_it_can_be_seen(self, value: str):
        written = python.text(value)
        assert written.replace("\u200d", "").isprintable()


def together(cases: list[Any], evaluate: Any) -> None:
    """Check many values by one process: what a search finds is collected first."""
    for value, found in zip(cases, evaluate(cases), strict=True):
        assert same(found, value), (value, found)


TRICKY = [DEEP, HOSTILE, {HOSTILE: [HOSTILE]}, {"__proto__": {"x": 1}}, {"a": {"__proto__": None}}]


def test_a_javascript_literal_is_what_it_was_written_from():
    need_node()

    def evaluate(cases: list[Any]) -> list[Any]:
        literals = [lay(value, javascript.STYLE, at % 3, 10 * at % 90) for at, value in enumerate(cases)]
        script = "const write = (value) => console.log(JSON.stringify(value));\n"
        script += "".join(f"write({literal});\n" for literal in literals)
        argv = ["node", "--input-type=module", "-"]
        ended = subprocess.run(argv, input=script.encode(), capture_output=True, timeout=40)
        assert ended.returncode == 0, ended.stderr[-1000:].decode()
        return [json.loads(line) for line in ended.stdout.decode().split("\n")[:-1]]

    together(TRICKY + collect(SAFE, 150), evaluate)


def test_a_shell_word_is_the_json_that_it_was_written_from():
    if shutil.which("sh") is None:
        pytest.skip("sh is not installed")

    def evaluate(cases: list[Any]) -> list[Any]:
        words = [shell.word(lay(value, shell.STYLE, at % 3, 10 * at % 90)) for at, value in enumerate(cases)]
        script = "".join(f"printf '%s\\0' {word}\n" for word in words)
        ended = subprocess.run(["sh"], input=script.encode(), capture_output=True, timeout=40)
        assert ended.returncode == 0, ended.stderr[-1000:].decode()
        return [json.loads(text) for text in ended.stdout.decode().split("\0")[:-1]]

    together(TRICKY + collect(ANY, 150), evaluate)


def test_long_values_are_written_in_linear_time():
    deep: Any = "x" * 2_000_000
    for _ in range(40):
        deep = [deep, "é\n" * 20_000]

    async def write() -> list[str]:
        async with asyncio.timeout(20):
            styles = (python.STYLE, javascript.STYLE, shell.STYLE)
            return [await asyncio.to_thread(lay, deep, style) for style in styles]

    assert [len(text) > 4_000_000 for text in asyncio.run(write())] == [True] * 3


def test_other_threads_run_while_a_long_text_is_written():
    begun, ended = time.process_time(), threading.Event()

    def write() -> None:
        for style in (python.STYLE, javascript.STYLE, shell.STYLE):
            lay("é'\n" * 2_000_000, style)
        ended.set()

    thread = threading.Thread(target=write)
    thread.start()
    longest, last = 0.0, begun
    while not ended.is_set():
        time.sleep(0.001)
        longest, last = max(longest, time.process_time() - last), time.process_time()
    thread.join()
    assert longest < (time.process_time() - begun) / 4


def test_a_deep_value_does_not_grow_long_by_its_indentation():
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    wide = [deep] * 100
    for style in (python.STYLE, python._PAGE, javascript.STYLE, shell.STYLE):  # pyright: ignore[reportPrivateUsage]
        assert len(lay(wide, style)) < 4 * len(json.dumps(wide))

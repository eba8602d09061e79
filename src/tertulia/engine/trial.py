"""Grammars are tried in a process of their own before the engine takes them: what takes too long there, or too much
memory, or kills it, does none of that here. ``python -m tertulia.engine.trial`` answers a line of JSON with a line."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from llguidance import LLMatcher

from tertulia.engine.schema import Plain, read
from tertulia.engine.wording import last
from tertulia.errors import BadRequest

PATIENCE = 5.0
"""Seconds that a grammar may take to compile."""
MEMORY = 1 << 30
"""Bytes that the process may have."""
STACK = 4 << 20
"""Bytes of stack for compiling: less than the engine's threads have."""
SEARCH = 1.0
"""Seconds that the keyword at fault is looked for."""
SPARED = 20
"""Keywords at most that llguidance is spared, one after another, where it need not be strict."""


@dataclass(slots=True)
class Verdict:
    """What became of a form: a ``grammar`` that llguidance takes, and warnings; or what is ``wrong`` with ``param``."""

    grammar: str = ""
    warnings: list[str] = field(default_factory=list[str])
    wrong: str = ""
    param: str = ""


def examine(grammar: str, schema: Any, param: str, strict: bool, options: dict[str, Any] | None = None) -> Verdict:
    """Try ``grammar``, or the JSON Schema ``schema``, which stands at ``param``, with llguidance's ``options``."""
    if schema is None:
        error = _error(grammar)
        return Verdict(wrong=f"{param} can't be enforced: {error}", param=param) if error else Verdict(grammar)
    try:
        return _examine(read(schema, param), param, strict, options or {})
    except BadRequest as error:
        return Verdict(wrong=str(error), param=error.param or param)


def _examine(plain: Plain, param: str, strict: bool, options: dict[str, Any]) -> Verdict:
    for _ in range(SPARED):
        if strict and plain.lost:
            keyword, path, why = plain.lost[0]
            more = f" ({len(plain.lost)} such keywords)" if len(plain.lost) > 1 else ""
            help = "leave it out, or say strict: false to have the rest enforced"
            return Verdict(wrong=f"{keyword!r} can't be enforced ({path}){more}: {why}; {help}", param=path)
        grammar = _grammar(plain.schema, options)
        error = _error(grammar)
        if not error:
            return Verdict(grammar, [f"{path} is not enforced: {why}" for _, path, why in plain.lost] + plain.notes)
        node, keyword = _blame(plain, error)
        place, made = plain.places.get(id(node), (param, False))
        path = place if made else f"{place}.{keyword}"
        plain.lost.append((last(path), path, error))
        node.pop(keyword, None)
    return Verdict(wrong=f"{param} can't be enforced: {plain.lost[-1][2]}", param=param)


def _grammar(schema: dict[str, Any], more: dict[str, Any]) -> str:
    # Fixed white space: then keys and punctuation are forced, and cost no pass. No \u: a name has one spelling then.
    options: Any = {"whitespace_flexible": False, "json_allowed_escapes": 'nrbtf\\"'} | more
    return LLMatcher.grammar_from_json_schema(schema, overrides=options)


def _error(grammar: str) -> str:
    wrong, told = LLMatcher.validate_grammar_with_warnings(grammar)
    return " ".join(told[0].split())[:200] if wrong else ""


def _blame(plain: Plain, error: str) -> tuple[dict[str, Any], str]:
    """The innermost part that fails by itself, and the keyword without which it would not."""
    defs = plain.schema.get("$defs", {})
    until = time.monotonic() + SEARCH
    empty = "Unsatisfiable" in error

    def fails(part: Any) -> bool:
        if time.monotonic() > until or not isinstance(part, dict):
            return False
        found = _error(_grammar({**cast(dict[str, Any], part), "$defs": defs}, {}))
        return bool(found) and ("Unsatisfiable" in found) == empty

    node, seen = plain.schema, {id(plain.schema)}
    while inner := next((part for part in _parts(node, defs) if id(part) not in seen and fails(part)), None):
        node = inner
        seen.add(id(node))
    words = [word for word in node if word != "$defs"]
    spared = (word for word in words if not fails({key: part for key, part in node.items() if key != word}))
    return node, next(spared, words[0] if words else "")


def _parts(node: dict[str, Any], defs: dict[str, Any]) -> Iterator[Any]:
    """The schemas right below ``node``, and the one that it refers to."""
    for word, part in node.items():
        if word == "$ref":
            yield defs.get(str(part).rpartition("/")[2])
        elif word in ("properties", "patternProperties"):
            yield from cast(dict[str, Any], part).values()
        elif word in ("allOf", "anyOf", "prefixItems"):
            yield from part
        elif word in ("items", "additionalProperties"):
            yield part


def main() -> None:
    """Answer until there are no more questions; die of one that takes too long."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    threading.stack_size(STACK)
    threading.excepthook = lambda _: os._exit(1)
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        worker = threading.Thread(target=_answer, args=[line])
        worker.start()
        worker.join()
        signal.setitimer(signal.ITIMER_REAL, 0)


def _answer(line: str) -> None:
    verdict = examine(*json.loads(line))
    sys.stdout.write(json.dumps([verdict.grammar, verdict.warnings, verdict.wrong, verdict.param]) + "\n")
    sys.stdout.flush()


class Trial:
    """The process, from this side. It is started when it is first asked, and again when it has died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def ask(self, grammar: str, schema: Any, param: str, strict: bool, options: dict[str, Any]) -> Verdict:
        """What :func:`examine` says; raises BadRequest where the process dies of it. Blocks for some seconds at most;
        one at a time."""
        if self._process is None:
            command = [sys.executable, "-m", "tertulia.engine.trial"]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        assert self._process.stdin and self._process.stdout
        question = [grammar, schema, param, strict, options]
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if answer:
            return Verdict(*json.loads(answer))
        late = self._end() == -signal.SIGALRM
        limit = f"longer than {PATIENCE:g} s" if late else f"more than {MEMORY >> 20} MiB, or nests too deeply,"
        raise BadRequest(f"{param} takes {limit} to compile: make it simpler", param=param)

    def close(self) -> None:
        """End the process."""
        if self._process:
            self._process.kill()
            self._end()

    def _end(self) -> int:
        process, self._process = self._process, None
        assert process and process.stdin and process.stdout
        code = process.wait()
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        return code


if __name__ == "__main__":
    main()

"""Schemas that people publish, as forms of answers: 200 by a fixed seed, at temperature 1, each answer checked by an
independent validator."""

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema
import numpy as np
import regex
from jsonschema.validators import extend, validator_for

from bench.table import Row
from bench.worker import Worker

COUNT = 200
SEED = 2026
TOKENS = 300
SOURCES = {
    "altair": "altair/vegalite/v*/schema/vega-lite-schema.json",
    "cfn-lint": "cfnlint/data/schemas/resources/*.json",
    "check-jsonschema": "check_jsonschema/builtin_schemas/vendor/*.json",
    "cyclonedx-python-lib": "cyclonedx/schema/_res/*.schema.json",
    "frictionless": "frictionless/assets/profiles/*.json",
    "jsonschema-specifications": "jsonschema_specifications/schemas/**/*",
    "jupyterlab": "jupyterlab/schemas/**/*.json",
    "kubernetes-validate": "kubernetes_validate/kubernetes-json-schema/v1.36.0-local/_definitions.json",
    "nbformat": "nbformat/v*/*.schema.json",
    "openapi-spec-validator": "openapi_spec_validator/resources/schemas/*/schema.json",
    "poetry-core": "poetry/core/json/schemas/*.json",
}
"""Packages, and where in them their schemas are: bench/schemas.txt pins them."""

Named = tuple[str, str, Any]
"""Source, name and schema."""


def run(folder: Path, rounds: int) -> list[Row]:
    """What becomes of the sampled schemas at 8 chats. An answer that was taken for valid and is not ends the bench."""
    asked = sample(COUNT, SEED)
    with Worker("ours", str(folder), "0") as ours:
        told = ours.ask(do="forms", asked=[[name, schema] for _, name, schema in asked], most=TOKENS, seed=SEED)
    ends: dict[str, Counter[str]] = {source: Counter() for source in SOURCES}
    keywords: Counter[str] = Counter()
    wrong: list[str] = []
    for (source, name, schema), answer in zip(asked, told["answers"], strict=True):
        end = answer["end"]
        if end == "stop":
            fault = check(schema, answer["text"])
            end = "invalid" if fault else "valid"
            wrong += [f"{name}: {fault}"] if fault else []
        elif end == "refused":
            keyword = answer["param"].rpartition(".")[2]
            named = re.match(r"'([^']+)' can't be enforced", answer["message"])
            keywords[named[1] if named else keyword + ": " + answer["message"].partition(" is ")[2][:40]] += 1
        ends[source][end] += 1
    if wrong:
        raise SystemExit("accepted and invalid:\n" + "\n".join(wrong))
    columns = ("valid", "length", "refused", "limit", "invalid")
    rows = [
        Row("schemas", source, {"asked": found.total()} | {end: found[end] for end in columns})
        for source, found in [*ends.items(), ("all", sum(ends.values(), Counter[str]()))]
    ]
    rows += [Row("schemas refused for", keyword, {"times": count}) for keyword, count in keywords.most_common()]
    for name, seconds in told["took"].items():
        points = {f"p{point} ms": 1e3 * float(np.percentile(seconds, point)) for point in (50, 99, 100)}
        rows.append(Row("schemas, the first time", name, points))
    per = {name: 1e3 * seconds / told["tokens"] for name, seconds in told["spent"].items()}
    rows.append(Row("schemas, ms a token", "8 chats", per | {"critical path": per["waited"] + per["taken"]}))
    return rows


def sample(count: int, seed: int) -> list[Named]:
    """As many schemas of each source as of any other, where it has them."""
    chance = random.Random(seed)
    pools = [list(_pool(source, files)) for source, files in SOURCES.items()]
    for pool in pools:
        chance.shuffle(pool)
    chosen: list[Named] = []
    while len(chosen) < count and any(pools):
        chosen += [pool.pop() for pool in pools if pool]
    return chosen[:count]


def _pool(source: str, files: str) -> Iterator[Named]:
    root = Path(str(distribution(source).locate_file("")))
    for path in sorted(path for path in root.glob(files) if path.is_file()):
        try:
            whole = json.loads(path.read_text())
        except ValueError:
            continue
        for part, schema in _parts(whole):
            if part or path.name != "_definitions.json":
                yield source, f"{path.name}#{part}", schema


def _parts(whole: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The schema, and each of its definitions with the definitions that it needs."""
    yield "", whole
    head = {"$schema": whole["$schema"]} if "$schema" in whole else {}
    for box in ("$defs", "definitions"):
        inner = whole.get(box, {})
        for name, part in inner.items():
            needed: dict[str, Any] = {}
            todo, alone = [part], isinstance(part, dict)
            while todo:
                for reference in _references(todo.pop()):
                    met = re.fullmatch(rf"#/{re.escape(box)}/([^/]+)(/.*)?", reference)
                    names = [met[1], unquote(met[1].replace("~1", "/").replace("~0", "~"))] if met else []
                    other = next((name for name in names if name in inner), None)
                    alone = alone and other is not None
                    if other is not None and other not in needed:
                        needed[other] = inner[other]
                        todo.append(inner[other])
            if alone:
                yield f"{box}/{name}", head | part | ({box: needed} if needed else {})


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for part in node:
            yield from _references(part)
    elif isinstance(node, dict):
        for word, part in node.items():
            if word in ("$ref", "$dynamicRef", "$recursiveRef") and isinstance(part, str):
                yield part
            else:
                yield from _references(part)


def check(schema: Any, text: str) -> str:
    """What is wrong with ``text`` by the schema's own draft, formats included; nothing, if it is valid."""
    try:
        value = json.loads(text)
    except ValueError as error:
        return f"{text!r} is no JSON: {error}"
    kind = validator_for(schema, default=jsonschema.Draft202012Validator)
    validator = extend(kind, {"pattern": _pattern})(schema, format_checker=kind.FORMAT_CHECKER)
    faults = [
        f"{text!r}: {error.message} at {list(error.absolute_schema_path)}" for error in validator.iter_errors(value)
    ]
    return "; ".join(faults)[:1000]


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
    """The validator's own, but for patterns that Python's ``re`` can't read (ECMAScript's ``\\p``)."""
    try:
        met = re.search(pattern, instance) if isinstance(instance, str) else True
    except re.error:
        met = regex.search(pattern, instance)
    if not met:
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")

"""Tool calls over HTTP: a forced call is a valid one or was cut, and ``auto`` leaves everyday answers alone."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from jsonschema import Draft202012Validator, FormatChecker

from bench.service import Service
from bench.table import Row
from bench.worker import Worker

TOOLS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "tools.json").read_text("utf-8"))
"""Fifty tools of varied schema, each with a sentence that asks for it (``ask``)."""
QUESTIONS = (
    "What is the capital of France?",
    "Why is the sky blue?",
    "Tell me a short joke.",
    "Who wrote Don Quixote?",
    "What is a good breakfast?",
    "How do plants drink?",
    "Describe the sea in one sentence.",
    "What does a baker do?",
    "Why do we sleep?",
    "What is an atom?",
    "Write a haiku about rain.",
    "How many legs has a spider?",
    "What is the opposite of hot?",
    "Name three planets.",
    "What is friendship?",
    "How is bread made?",
    "Why do cats purr?",
    "What is a leap year?",
    "Give me a reason to read.",
    "What colour is grass?",
)
"""Everyday questions that need no tool."""
MOST = 512
SEED = 7
AT_ONCE = 8
GROUP = 10
SHARE = 0.05
"""Of the answers that may be cut."""


def offered(tools: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """``tools`` as a request offers them."""
    return [{"type": "function", "function": {key: tool[key] for key in tool if key != "ask"}} for tool in tools]


@dataclass(frozen=True, slots=True)
class Case:
    """Which tools are on offer beside the one that is asked for, and how one is chosen."""

    name: str
    size: int
    named: bool

    def body(self, place: int, temperature: float) -> dict[str, Any]:
        """The request for the ``place``-th tool."""
        begin = place // self.size * self.size
        choice: Any = "required"
        if self.named:
            choice = {"type": "function", "function": {"name": TOOLS[place]["name"]}}
        return {
            "messages": [{"role": "user", "content": TOOLS[place]["ask"]}],
            "tools": offered(TOOLS[begin : begin + self.size]),
            "tool_choice": choice,
            "temperature": temperature,
            "seed": SEED + place,
            "max_tokens": MOST,
        }


CASES = (Case("named", GROUP, True), Case(f"required of {GROUP}", GROUP, False), Case("required of 50", 50, False))


def run(folder: Path, rounds: int) -> list[Row]:
    """Forced calls in every way, and ``auto`` with and without its grammar. Raises where an answer is neither a valid
    call nor cut, where more were cut than may be, and where a stream comes to another answer."""
    rows: list[Row] = []
    with Service(folder, 2, "--exact") as service:  # streamed and whole are asked in different company
        for case in CASES:
            rows += asyncio.run(_forced(service, case))
    _judge(rows)
    with Worker("tooled", str(folder), "2") as worker:
        rows.append(_auto(worker, min(rounds, 3)))
    return rows


def _judge(rows: list[Row]) -> None:
    answers, cut = (sum(row.figures[name] for row in rows) for name in ("answers", "length"))
    if cut > SHARE * answers:
        raise RuntimeError(f"{cut:.0f} of {answers:.0f} forced calls were cut: more than {SHARE:.0%}")


# ---------------------------------------------------------------- forced calls


async def _forced(service: Service, case: Case) -> list[Row]:
    """Each tool's sentence: at temperature 1 streamed and not, and greedy, every other one streamed."""
    gate = asyncio.Semaphore(AT_ONCE)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(900)) as session:

        async def ask(place: int, temperature: float, streamed: bool) -> dict[str, Any]:
            async with gate:
                return await _ask(session, service.url, case.body(place, temperature) | {"stream": streamed})

        async def all_(name: str, temperature: float, streamed: list[bool]) -> list[dict[str, Any]]:
            before = service.cpu()
            answers = await asyncio.gather(*(ask(place, temperature, way) for place, way in enumerate(streamed)))
            rows.append(_row(f"{case.name}, {name}", case, answers, service.cpu() - before))
            return answers

        rows: list[Row] = []
        size = len(TOOLS)
        for place in range(0, size, case.size):  # what all of them have in common is read once
            await _ask(session, service.url, case.body(place, 0) | {"stream": False, "max_tokens": 1})
        whole = await all_("temperature 1, whole", 1, [False] * size)
        streamed = await all_("temperature 1, streamed", 1, [True] * size)
        await all_("greedy", 0, [bool(place % 2) for place in range(size)])
    for place, (one, other) in enumerate(zip(whole, streamed, strict=True)):
        if one != other:
            raise RuntimeError(f"{case.name}, {TOOLS[place]['name']}: streamed {other}, but whole {one}")
    return rows


def _row(name: str, case: Case, answers: list[dict[str, Any]], cpu: float) -> Row:
    ends = Counter(answer["finish"] for answer in answers)
    wrong = [
        f"{TOOLS[place]['name']}: {said}" for place, one in enumerate(answers) if (said := fault(case, place, one))
    ]
    for place, answer in enumerate(answers):
        if answer["finish"] == "length":
            said = " ".join(f"{tool} {arguments}" for tool, arguments in answer["calls"])
            print(f"{name}: cut, asked for {TOOLS[place]['name']}: {said[:100]!r} ... {said[-40:]!r}", flush=True)
    if wrong:
        raise RuntimeError("\n".join([f"{name}: {len(wrong)} answers are neither a valid call nor cut", *wrong]))
    tokens = sum(answer["tokens"] for answer in answers)
    own = sum(1 for place, one in enumerate(answers) if one["calls"] and one["calls"][0][0] == TOOLS[place]["name"])
    figures = {
        "answers": len(answers),
        "valid calls": ends["tool_calls"],
        "length": ends["length"],
        "length share": ends["length"] / len(answers),
        "of the tool asked for": own,
        "tokens": tokens / len(answers),
        "tok/CPU-s": tokens / max(cpu, 0.01),
    }
    return Row("calls", name, figures)


async def _ask(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> dict[str, Any]:
    """The finish reason, the calls as pairs of name and arguments, the content and the number of tokens."""
    body |= {"stream_options": {"include_usage": True}} if body["stream"] else {}
    async with session.post(url + "/v1/chat/completions", json=body) as response:
        if response.status == 429:  # as any client does, on a machine that is busy with something else
            await asyncio.sleep(float(response.headers.get("retry-after", 5)))
            return await _ask(session, url, body)
        if response.status != 200:
            raise RuntimeError(f"{response.status}: {await response.text()}")
        if not body["stream"]:
            told = await response.json()
            return _answer(told["choices"][0]["finish_reason"], told["choices"][0]["message"], told["usage"])
        message: dict[str, Any] = {"content": "", "tool_calls": []}
        finish, usage = None, None
        async for line in response.content:
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            if "error" in event:
                raise RuntimeError(line.decode())
            usage = event.get("usage") or usage
            for choice in event["choices"]:
                finish = choice["finish_reason"] or finish
                _add(message, choice["delta"])
        assert usage
        return _answer(finish, message, usage)


def _add(message: dict[str, Any], delta: dict[str, Any]) -> None:
    message["content"] += delta.get("content") or ""
    for call in delta.get("tool_calls") or []:
        if call["index"] == len(message["tool_calls"]):
            message["tool_calls"].append({"function": {"name": call["function"]["name"], "arguments": ""}})
        message["tool_calls"][call["index"]]["function"]["arguments"] += call["function"].get("arguments") or ""


def _answer(finish: str | None, message: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
    functions = [call["function"] for call in message.get("tool_calls") or []]
    calls = [(function["name"], function["arguments"]) for function in functions]
    content = message.get("content") or ""
    return {"finish": finish, "calls": calls, "content": content, "tokens": usage["completion_tokens"]}


# ---------------------------------------------------------------- what is valid


def fault(case: Case, place: int, answer: dict[str, Any]) -> str:
    """What is wrong with an answer; nothing if it is a valid call, or was cut."""
    if answer["finish"] == "length":
        return ""
    begin = place // case.size * case.size
    on_offer = {tool["name"]: tool for tool in ([TOOLS[place]] if case.named else TOOLS[begin : begin + case.size])}
    if answer["finish"] != "tool_calls" or answer["content"] or len(answer["calls"]) != 1:
        return repr(answer)
    ((name, arguments),) = answer["calls"]
    if name not in on_offer:
        return f"{name} is not on offer"
    try:
        value = json.loads(arguments)
    except ValueError as error:
        return f"{error}: {arguments}"
    schema = on_offer[name].get("parameters") or {"type": "object", "properties": {}}
    errors = Draft202012Validator(shut(schema), format_checker=FORMATS).iter_errors(value)
    return "; ".join(f"{name}: {error.message} ({arguments})" for error in errors)


def shut(schema: Any) -> Any:
    """``schema`` with all objects that name their properties closed to others. (No tool here puts objects together.)"""
    if isinstance(schema, list):
        return [shut(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: value if key in ("const", "enum", "default") else shut(value) for key, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        inner.setdefault("additionalProperties", False)
    return inner


FORMATS = FormatChecker(["date", "email", "ipv4", "ipv6", "uuid", "regex"])


def _check(name: str, raises: Any = ()) -> Any:
    return FORMATS.checks(name, raises)


@_check("date-time", ValueError)
def _moment(value: Any) -> bool:
    return not isinstance(value, str) or ("T" in value.upper() and _dated(value).tzinfo is not None)


def _dated(value: str) -> datetime:
    return datetime.fromisoformat(re.sub(r":60(?=[.Zz+-])", ":59", _short(value.upper())))


@_check("time", ValueError)
def _hour(value: Any) -> bool:
    return (
        not isinstance(value, str)
        or time.fromisoformat(re.sub(r":60(?=[.Zz+-])", ":59", _short(value.upper()))) is not None
    )


def _short(value: str) -> str:
    """``value`` with no more of a second than Python reads."""
    return re.sub(r"(\.\d{1,6})\d*", r"\1", value)


@_check("duration")
def _span(value: Any) -> bool:
    date = r"(\d+Y(\d+M(\d+D)?)?|\d+M(\d+D)?|\d+D)"
    clock = r"T(\d+H(\d+M(\d+S)?)?|\d+M(\d+S)?|\d+S)"
    return not isinstance(value, str) or bool(re.fullmatch(rf"P(\d+W|{date}({clock})?|{clock})", value))


@_check("hostname")
def _host(value: Any) -> bool:
    label = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    return not isinstance(value, str) or bool(re.fullmatch(rf"{label}(\.{label})*", value))


@_check("uri", ValueError)
def _address(value: Any) -> bool:
    if not isinstance(value, str):
        return True
    return bool(urlsplit(value).scheme) and bool(re.fullmatch(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+", value))


# ---------------------------------------------------------------- auto


def _auto(worker: Worker, rounds: int) -> Row:
    """Everyday questions with all tools on offer, with the grammar and without: the answers, and the speed."""
    ratios: list[float] = []
    with_, without = {}, {}
    for turn in range(-1, rounds):
        found = {held: worker.ask(do="auto", held=held) for held in ((True, False) if turn % 2 else (False, True))}
        with_, without = found[True], found[False]
        if turn >= 0:  # the first round reads the prompts
            ratios.append(with_["tokens"] / with_["cpu"] / (without["tokens"] / without["cpu"]))
    called = equal = 0
    for question, held, free in zip(QUESTIONS, with_["answers"], without["answers"], strict=True):
        if held["calls"] or free["calls"]:
            called += 1
        elif held["content"] == free["content"] and held["finish"] == free["finish"]:
            equal += 1
        else:
            raise RuntimeError(f"auto, {question!r}: {held} with the grammar, {free} without")
    figures = {"questions": len(QUESTIONS), "the same without the grammar": equal, "a call began": called}
    figures |= {"tokens": with_["tokens"] / len(QUESTIONS), "tok/CPU-s, grammar against none": median(ratios)}
    return Row("calls", "auto of 50, everyday questions", figures)

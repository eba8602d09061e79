"""Python, formatted as ruff and black format it: openai, huggingface_hub, requests."""

from typing import Any

import msgspec

from tertulia.snippets.ask import BILL_TO, Ask
from tertulia.snippets.layout import Code, Escapes, Style, call, quote
from tertulia.snippets.table import PARAMETERS


def _strange(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_SPECIAL = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ESCAPES = {mark: Escapes(_SPECIAL | {mark: f"\\{mark}"}, _strange) for mark in "\"'"}


def text(value: str) -> str:
    """A string as a literal."""
    return quote(value, _ESCAPES)


STYLE = Style(text, text, ("True", "False", "None"))
_PAGE = msgspec.structs.replace(STYLE, width=0, comma="")

_OBJECTS = {
    "choices": "chunk.choices",
    "index": "choice.index",
    "content": "choice.delta.content",
    "calls": "choice.delta.tool_calls",
    "call": "piece.index",
    "name": "piece.function.name",
    "arguments": "piece.function.arguments",
    "usage": "chunk.usage",
}
_DICTS = {
    "choices": 'chunk["choices"]',
    "index": 'choice["index"]',
    "content": 'choice["delta"].get("content")',
    "calls": 'choice["delta"].get("tool_calls")',
    "call": 'piece["index"]',
    "name": 'piece["function"].get("name")',
    "arguments": 'piece["function"].get("arguments")',
    "usage": 'chunk.get("usage")',
}
"""How the loop over a stream reaches what is in it: where the client makes objects of it, and where it doesn't."""


def openai(ask: Ask) -> str:
    """OpenAI's client."""
    headers = [("default_headers", {BILL_TO: ask.bill_to})] if ask.bill_to else []
    client = call("client = OpenAI", [("base_url", ask.url), ("api_key", Code(_token(ask))), *headers], STYLE)
    return _typed(ask, "openai", "from openai import OpenAI", client, {"model": "default", "messages": []})


def huggingface_hub(ask: Ask) -> str:
    """Hugging Face's client."""
    arguments: list[tuple[str, Any]] = [("provider", ask.provider)] if ask.provider else []
    arguments += [("base_url", ask.url)] if ask.url else []
    arguments += [("api_key", Code(_token(ask)))]
    arguments += [("bill_to", ask.bill_to)] if ask.bill_to else []
    client = call("client = InferenceClient", arguments, STYLE)
    importing = "from huggingface_hub import InferenceClient"
    return _typed(ask, "huggingface_hub", importing, client, {"messages": []})


def requests(ask: Ask) -> str:
    """HTTP as it is."""
    authorization = Code('f"Bearer {' + _token(ask, "'") + '}"')
    headers = {"Authorization": authorization} | ({BILL_TO: ask.bill_to} if ask.bill_to else {})
    arguments: list[tuple[str, Any]] = [("", ask.endpoint), ("headers", headers), ("json", ask.body)]
    arguments += [("stream", True)] if ask.stream else []
    post = call("requests.post", arguments, STYLE)
    refused = ["if not response.ok:", "    raise SystemExit(response.text)"]
    if not ask.stream:
        code = [f"response = {post}", *refused, "", *_print(ask, 'response.json()["choices"]', '["message"]')]
        return "\n".join(["import os", "", "import requests", "", *code, ""])
    before, inner, after = _loop(ask, _DICTS)
    reading = [
        "for line in response.iter_lines():",
        '    if not line.startswith(b"data:"):',
        "        continue",
        '    data = line.removeprefix(b"data:").strip()',
        '    if data == b"[DONE]":',
        "        break",
        "    chunk = json.loads(data)",
        '    if "error" in chunk:',
        '        raise SystemExit(chunk["error"]["message"])',
    ]
    body = _deeper([*refused, *reading, *_deeper(inner)])
    code = [*before, f"with {post} as response:", *body, *after]
    return "\n".join(["import json", "import os", "", "import requests", "", *code, ""])


def _typed(ask: Ask, client: str, importing: str, making: str, needed: dict[str, Any]) -> str:
    """A snippet whose client has a method for chats; ``needed`` are the arguments that it can't do without."""
    body = ask.body | {name: value for name, value in needed.items() if ask.body.get(name) is None}
    known = PARAMETERS[client]
    arguments = [(name, body[name]) for name in ("model", "messages") if name in body]
    arguments += [(name, value) for name, value in body.items() if name in known and name not in ("model", "messages")]
    if extra := {name: value for name, value in body.items() if name not in known}:
        arguments.append(("extra_body", extra))
    name = "stream" if ask.stream else "completion"
    asking = call(f"{name} = client.chat.completions.create", arguments, _PAGE if ask.page else STYLE)
    before, inner, after = _loop(ask, _OBJECTS)
    loop = [*before, "for chunk in stream:", *_deeper(inner), *after]
    ending = loop if ask.stream else _print(ask, "completion.choices", ".message")
    parts = ["import os", importing, making, asking, "\n".join(ending)]
    return ("\n" if ask.page else "\n\n").join(parts) + "\n"


def _print(ask: Ask, choices: str, message: str) -> list[str]:
    if ask.many:
        return [f"for choice in {choices}:", f"    print(choice{message})"]
    return [f"print({choices}[0]{message})"]


def _loop(ask: Ask, at: dict[str, str]) -> tuple[list[str], list[str], list[str]]:
    """What stands before the loop over a stream, in it, and behind it."""
    before, after = list[str](), list[str]()
    inner = [f"for choice in {at['choices']}:"]
    if ask.many:
        before.append("answers = {}")
        inner.append(f'    said = answers.get({at["index"]}, "")')
        inner.append(f'    answers[{at["index"]}] = said + ({at["content"]} or "")')
        after += ["for index, answer in answers.items():", '    print(f"{index}: {answer}")']
    else:
        inner.append(f'    print({at["content"]} or "", end="", flush=True)')
        after.append("print()")
    if ask.tools:
        place = "place" if ask.many else at["call"]
        before.append("calls = {}")
        inner.append(f"    for piece in {at['calls']} or []:")
        inner += [f"        place = ({at['index']}, {at['call']})"] if ask.many else []
        inner += [
            f'        call = calls.setdefault({place}, {{"name": "", "arguments": ""}})',
            f'        call["name"] += {at["name"]} or ""',
            f'        call["arguments"] += {at["arguments"]} or ""',
        ]
        after += ["for call in calls.values():", "    print(call)"]
    if ask.usage:
        before.append("usage = None")
        inner.append(f"usage = {at['usage']} or usage")
        after.append("print(usage)")
    return before, inner, after


def _token(ask: Ask, mark: str = '"') -> str:
    name = f"{mark}{ask.token}{mark}"
    if ask.fallback:
        return f"os.environ.get({name}, {mark}{ask.fallback}{mark})"
    return f"os.environ[{name}]"


def _deeper(lines: list[str]) -> list[str]:
    return [f"    {line}" if line else line for line in lines]

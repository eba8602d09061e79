"""JavaScript modules for Node, formatted as prettier does: openai, @huggingface/inference, fetch."""

import re
from typing import Any

from tertulia.snippets.ask import BILL_TO, Ask
from tertulia.snippets.layout import Code, Escapes, Style, lay, quote
from tertulia.snippets.table import TAKEN

_PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")


def _strange(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else f"\\u{{{code:x}}}"


_SPECIAL = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ESCAPES = {mark: Escapes(_SPECIAL | {mark: f"\\{mark}"}, _strange) for mark in "\"'"}


def text(value: str) -> str:
    """A string as a literal."""
    return quote(value, _ESCAPES)


def key(name: str) -> str:
    """An object's key. ``__proto__`` would set the prototype, unless it is computed."""
    if name == "__proto__":
        return '["__proto__"]'
    return name if _PLAIN.fullmatch(name) else text(name)


STYLE = Style(text, key, indent="  ", width=80, padding=" ")
_MERGE = """(url, init) =>
    // These are names of the client's own settings: it would not send them.
    fetch(url, { ...init, body: JSON.stringify({ ...JSON.parse(init.body), ...more }) })"""


def openai(ask: Ask) -> str:
    """OpenAI's client."""
    options: dict[str, Any] = {"baseURL": ask.url, "apiKey": Code(_token(ask))}
    options |= {"defaultHeaders": {BILL_TO: ask.bill_to}} if ask.bill_to else {}
    name = "stream" if ask.stream else "completion"
    parts = [
        'import OpenAI from "openai";',
        f"const client = new OpenAI({lay(options, STYLE, broken=True)});",
        f"const {name} = await client.chat.completions.create({lay(ask.body, STYLE, broken=True)});",
        _iterate(ask) if ask.stream else _print(ask, "completion"),
    ]
    return "\n\n".join(parts) + "\n"


def huggingface(ask: Ask) -> str:
    """Hugging Face's client, which says ``stream`` by another method."""
    left = TAKEN | {"stream"} if ask.stream else TAKEN
    body = {"provider": ask.provider} if ask.provider else {}
    body |= {name: value for name, value in ask.body.items() if name not in left}
    more = {name: value for name, value in ask.body.items() if name in TAKEN}
    options: dict[str, Any] = {"endpointUrl": ask.url} if ask.url else {}
    options |= {"billTo": ask.bill_to} if ask.bill_to else {}
    options |= {"fetch": Code(_MERGE)} if more else {}
    arguments = _token(ask) + (f", {lay(options, STYLE, broken=True)}" if options else "")
    said = lay(body, STYLE, broken=True)
    asking = (
        f"const stream = client.chatCompletionStream({said});"
        if ask.stream
        else f"const completion = await client.chatCompletion({said});"
    )
    parts = [
        'import { InferenceClient } from "@huggingface/inference";',
        *([f"const more = {lay(more, STYLE, broken=True)};"] if more else []),
        f"const client = new InferenceClient({arguments});",
        asking,
        _iterate(ask) if ask.stream else _print(ask, "completion"),
    ]
    return "\n\n".join(parts) + "\n"


def fetch(ask: Ask) -> str:
    """HTTP as it is."""
    token = f"({_token(ask)})" if ask.fallback else _token(ask)
    headers: dict[str, Any] = {"Authorization": Code(f'"Bearer " + {token}'), "Content-Type": "application/json"}
    headers |= {BILL_TO: ask.bill_to} if ask.bill_to else {}
    body = Code(f"JSON.stringify({lay(ask.body, STYLE, 1, broken=True)})")
    options = {"method": "POST", "headers": headers, "body": body}
    asking = [
        f"const response = await fetch({text(ask.endpoint)}, {lay(options, STYLE, broken=True)});",
        "if (!response.ok) throw new Error(await response.text());",
    ]
    if not ask.stream:
        reading = ["const completion = await response.json();", _print(ask, "completion")]
        return "\n".join([*asking, "", *reading, ""])
    before, inner, after = _loop(ask)
    reading = [
        *before,
        "const decoder = new TextDecoder();",
        'let buffer = "";',
        "for await (const bytes of response.body) {",
        "  buffer += decoder.decode(bytes, { stream: true });",
        "  const lines = buffer.split(/\\r?\\n/);",
        "  buffer = lines.pop();",
        "  for (const line of lines) {",
        '    if (!line.startsWith("data:")) continue;',
        "    const data = line.slice(5).trim();",
        '    if (data === "[DONE]") continue;',
        "    const chunk = JSON.parse(data);",
        "    if (chunk.error) throw new Error(chunk.error.message);",
        *_deeper(inner, 2),
        "  }",
        "}",
        *after,
    ]
    return "\n".join([*asking, "", *reading, ""])


def _print(ask: Ask, name: str) -> str:
    show = "console.dir({}, {{ depth: null }});" if ask.tools else "console.log({});"
    if ask.many:
        return f"for (const choice of {name}.choices) {show.format('choice.message')}"
    return show.format(f"{name}.choices[0].message")


def _iterate(ask: Ask) -> str:
    before, inner, after = _loop(ask)
    return "\n".join([*before, "for await (const chunk of stream) {", *_deeper(inner, 1), "}", *after])


def _loop(ask: Ask) -> tuple[list[str], list[str], list[str]]:
    """What stands before the loop over a stream, in it, and behind it."""
    before, after = list[str](), list[str]()
    inner = ["for (const choice of chunk.choices) {"]
    if ask.many:
        before.append("const answers = [];")
        inner.append('  const said = answers[choice.index] ?? "";')
        inner.append('  answers[choice.index] = said + (choice.delta.content ?? "");')
        after.append('answers.forEach((answer, index) => console.log(index + ": " + answer));')
    else:
        inner.append('  process.stdout.write(choice.delta.content ?? "");')
        after.append("console.log();")
    if ask.tools:
        place = "place" if ask.many else "piece.index"
        before.append("const calls = {};")
        inner.append("  for (const piece of choice.delta.tool_calls ?? []) {")
        inner += ['    const place = choice.index + "/" + piece.index;'] if ask.many else []
        inner += [
            f'    const call = (calls[{place}] ??= {{ name: "", arguments: "" }});',
            '    call.name += piece.function?.name ?? "";',
            '    call.arguments += piece.function?.arguments ?? "";',
            "  }",
        ]
        after.append("for (const call of Object.values(calls)) console.log(call);")
    inner.append("}")
    if ask.usage:
        before.append("let usage;")
        inner.append("usage = chunk.usage ?? usage;")
        after.append("console.log(usage);")
    return before, inner, after


def _token(ask: Ask) -> str:
    return f"process.env.{ask.token}" + (f" ?? {text(ask.fallback)}" if ask.fallback else "")


def _deeper(lines: list[str], levels: int) -> list[str]:
    return [f"{'  ' * levels}{line}" for line in lines]

"""How families of models write thinking and calls: data, chosen by what stands in the chat template.

A :class:`Form` is written as one call looks, with ``$name`` and ``$arguments`` in their places. The same text is what a
grammar makes a model write and, with white space free to vary, what the parser reads. Sources: the families' chat
templates and documentation; the tests' outputs name theirs one by one.
"""

from dataclasses import dataclass, replace
from typing import Literal

from tertulia.errors import ConfigError

PLACES = {
    "lang": (r"\w*", "json"),
    "index": (r"\d+", "0"),
    "channel": (r"(?:commentary|analysis)", "commentary"),
    "kind": (r"\s*(?:<\|constrain\|>)?\s*\w*", " <|constrain|>json"),
    "id": (r"\[CALL_ID\]\w*", ""),
    "key_id": (r'"(?:tool_call_)?id"\s*:\s*"[^"]*"\s*,\s*', ""),
    "id_key": (r'\s*,\s*"id"\s*:\s*"[^"]*"', ""),
}
"""Places beside ``$name`` and ``$arguments``: the pattern that they are read by, and what is written there. Where
that is nothing, they may be missing."""


@dataclass(frozen=True, slots=True)
class Json:
    """Arguments as a JSON object."""


@dataclass(frozen=True, slots=True)
class Tags:
    """Arguments between tags, one after the other: ``key`` opens one (``$key``, and perhaps ``$string``, which says
    true or false), ``end`` closes it. A string is spelt as it is, everything else as JSON."""

    key: str
    end: str


@dataclass(frozen=True, slots=True)
class Literals:
    """Arguments as literals of a programming language: ``key``, then ``equals``, then a value, up to ``close``.
    Strings stand between ``quotes``; ``escapes`` says whether a backslash means anything in them."""

    equals: str
    close: str
    quotes: tuple[str, ...]
    escapes: bool


Spelling = Json | Tags | Literals
JSON = Json()
PYTHON = Literals("=", ")", ("'", '"'), escapes=True)
GEMMA = Literals(":", "}", ('<|"|>', '"'), escapes=False)


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write calls. ``begin`` surely begins one wherever it stands; without it a call is known by its name
    only. ``open``, ``between`` and ``close`` stand around a list of them. ``where``: anywhere, at the beginning of a
    line, or only where a stretch of text begins."""

    call: str
    begin: str = ""
    open: str = ""
    between: str = ""
    close: str = ""
    spelling: Spelling = JSON
    where: Literal["anywhere", "line", "start"] = "anywhere"


@dataclass(frozen=True, slots=True)
class Thinking:
    """The markers of a thinking block. It begins where text begins, or ``anywhere``; ``until`` ends it too, and is not
    part of it."""

    begin: str
    end: str
    anywhere: bool = False
    until: str = ""


@dataclass(frozen=True, slots=True)
class Format:
    """A family's way. It is chosen when all of one of its ``signs`` stand in the template. ``noise`` are markers that
    mean nothing by themselves."""

    name: str
    forms: tuple[Form, ...]
    signs: tuple[tuple[str, ...], ...] = ()
    thinking: Thinking | None = None
    noise: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """All that is written literally in it: a special token that is not in there means nothing to it."""
        forms = (f"{form.begin} {form.open} {form.call} {form.close} {form.spelling}" for form in self.forms)
        thinking = (self.thinking.begin, self.thinking.end) if self.thinking else ()
        return " ".join((*forms, *thinking, *self.noise))

    def with_envelope(self) -> "Format":
        """The same for a model that is told of its tools by the generic envelope: that comes first."""
        return replace(self, forms=(*GENERIC.forms, *(form for form in self.forms if form.begin)))


def _object(arguments: str) -> str:
    return f'{{"name": "$name", "{arguments}": $arguments}}'


_TAGGED = Form(f"<tool_call>\n{_object('arguments')}\n</tool_call>", "<tool_call>", between="\n")
_LISTED = '{$key_id"name": "$name", "arguments": $arguments$id_key}'
_BARE = tuple(
    Form(fence.replace("$object", _object(key)), where="line")
    for key in ("parameters", "arguments")
    for fence in ("$object", "```$lang\n$object\n```")
)
"""A JSON object without any marker, bare or fenced: the generic envelope, and what some models fall back to."""
_SECTION = ("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>")
_KIMI = ("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>")

GENERIC = Format("generic", _BARE)
THINK = Thinking("<think>", "</think>")

FORMATS = (
    Format(
        "gpt-oss",
        (
            Form(
                "<|channel|>$channel to=functions.$name$kind<|message|>$arguments<|call|>",
                "<|channel|>commentary to=",
            ),
            Form(
                " to=functions.$name<|channel|>$channel$kind<|message|>$arguments<|call|>",
                " to=functions.",
                where="start",
            ),
        ),
        (("<|channel|>commentary",),),
        Thinking("<|channel|>analysis<|message|>", "<|end|>", anywhere=True),
        noise=(
            "<|start|>assistant",
            "<|channel|>final<|message|>",
            "<|channel|>commentary<|message|>",
            "<|end|>",
            "<|return|>",
            "<|call|>",
        ),
    ),
    Format(
        "glm",
        (
            Form(
                "<tool_call>$name\n$arguments</tool_call>",
                "<tool_call>",
                between="\n",
                spelling=Tags("<arg_key>$key</arg_key>\n<arg_value>", "</arg_value>\n"),
            ),
        ),
        (("<arg_key>",),),
        THINK,
    ),
    Format(
        "qwen3-coder",
        (
            Form(
                "<tool_call>\n<function=$name>\n$arguments</function>\n</tool_call>",
                "<tool_call>",
                between="\n",
                spelling=Tags("<parameter=$key>\n", "\n</parameter>\n"),
            ),
            Form(
                "<function=$name>\n$arguments</function>",
                "<function=",
                spelling=Tags("<parameter=$key>\n", "\n</parameter>\n"),
            ),
        ),
        (("<tool_call>", "<function=", "<parameter="),),
        THINK,
    ),
    Format(
        "deepseek-v3.2",
        (
            Form(
                '<｜DSML｜invoke name="$name">\n$arguments</｜DSML｜invoke>\n',
                "<｜DSML｜function_calls>",
                open="<｜DSML｜function_calls>\n",
                close="</｜DSML｜function_calls>",
                spelling=Tags('<｜DSML｜parameter name="$key" string="$string">', "</｜DSML｜parameter>\n"),
            ),
        ),
        (("DSML", "invoke"),),
        THINK,
    ),
    Format(
        "minimax-m2",
        (
            Form(
                '<invoke name="$name">\n$arguments</invoke>\n',
                "<minimax:tool_call>",
                open="<minimax:tool_call>\n",
                close="</minimax:tool_call>",
                spelling=Tags('<parameter name="$key">', "</parameter>\n"),
            ),
        ),
        (("<minimax:tool_call>", "<invoke name="),),
        THINK,
    ),
    Format(
        "kimi",
        (
            Form(
                "<|tool_call_begin|>functions.$name:$index<|tool_call_argument_begin|>$arguments<|tool_call_end|>",
                _KIMI[0],
                open=_KIMI[0],
                close=_KIMI[1],
            ),
        ),
        ((_KIMI[0],),),
        Thinking("<think>", "</think>", until=_KIMI[0]),
    ),
    Format(
        "deepseek-r1",
        (
            Form(
                "<｜tool▁call▁begin｜>function<｜tool▁sep｜>$name\n```json\n$arguments\n```<｜tool▁call▁end｜>",
                _SECTION[0],
                open=_SECTION[0],
                between="\n",
                close=_SECTION[1],
            ),
        ),
        (("<｜tool▁call▁begin｜>", "```json"), ("<｜tool▁call▁begin｜>", "function<｜tool▁sep｜>")),
        THINK,
    ),
    Format(
        "deepseek-v3",
        (
            Form(
                "<｜tool▁call▁begin｜>$name<｜tool▁sep｜>$arguments<｜tool▁call▁end｜>",
                _SECTION[0],
                open=_SECTION[0],
                close=_SECTION[1],
            ),
        ),
        (("<｜tool▁call▁begin｜>",),),
        THINK,
    ),
    Format(
        "mistral-args",
        (Form("[TOOL_CALLS]$name$id[ARGS]$arguments", "[TOOL_CALLS]"),),
        (("[TOOL_CALLS]", "[ARGS]"),),
        Thinking("[THINK]", "[/THINK]"),
    ),
    Format(
        "mistral-list",
        (Form(_LISTED, "[TOOL_CALLS]", open="[TOOL_CALLS][", between=", ", close="]"),),
        (("[TOOL_CALLS]",),),
    ),
    Format(
        "gemma-4",
        (Form("<|tool_call>call:$name{$arguments}<tool_call|>", "<|tool_call>", spelling=GEMMA),),
        (("<|tool_call>call:",),),
        Thinking("<|channel>thought\n", "<channel|>", anywhere=True),
    ),
    Format("functools", (Form(_LISTED, "functools[", open="functools[", between=", ", close="]"),), (("functools",),)),
    Format(
        "granite",
        (Form(_LISTED, "<|tool_call|>", open="<|tool_call|>[", between=", ", close="]"),),
        (("<|tool_call|>",),),
        THINK,
    ),
    Format(
        "nemotron",
        (Form(_LISTED, "<TOOLCALL>", open="<TOOLCALL>[", between=", ", close="]</TOOLCALL>"),),
        (("<TOOLCALL>",),),
        THINK,
    ),
    Format(
        "lfm2",
        (
            Form(
                "$name($arguments)",
                "<|tool_call_start|>",
                open="<|tool_call_start|>[",
                between=", ",
                close="]<|tool_call_end|>",
                spelling=PYTHON,
            ),
        ),
        (("<|tool_call_start|>",),),
        THINK,
    ),
    Format(
        "llama-4",
        (
            Form(
                "$name($arguments)",
                "<|python_start|>",
                open="<|python_start|>[",
                between=", ",
                close="]<|python_end|>",
                spelling=PYTHON,
            ),
            Form("$name($arguments)", open="[", between=", ", close="]", spelling=PYTHON, where="start"),
        ),
        (("<|python_start|>",), ("func_name1(params_name1=params_value1",)),
    ),
    Format(
        "llama-3",
        (
            Form(_object("parameters"), open="", between="; ", where="start"),
            Form(_object("parameters"), "<|python_tag|>", open="<|python_tag|>", between="; "),
            Form(_object("arguments"), "<|python_tag|>", open="<|python_tag|>", between="; "),
        ),
        (("<|python_tag|>",), ('"name": function name, "parameters"',)),
    ),
    Format("hermes", (_TAGGED, *_BARE), (("<tool_call>",),), THINK),
)
"""Looked through in this order: what is more particular stands first."""

_THINKING = (
    (("<think>",), THINK),
    (("[THINK]",), Thinking("[THINK]", "[/THINK]")),
    (("<seed:think>",), Thinking("<seed:think>", "</seed:think>")),
    (("<|START_THINKING|>",), Thinking("<|START_THINKING|>", "<|END_THINKING|>")),
)


def find_format(template: str, named: str = "") -> Format:
    """The format whose signs stand in ``template``, or the one that is ``named``; the generic one where nothing is
    known. It thinks only where the markers of thinking stand in the template. A format that no grammar can hold is read
    in the envelope too: that is what a call is forced into.

    Raises ConfigError, with the names there are, for a name that there is not.
    """
    known = {format.name: format for format in (*FORMATS, GENERIC)}
    if named and named not in known:
        raise ConfigError(f"formats: there is no format {named!r}; there are {', '.join(sorted(known))}")
    found = known.get(named) or next((format for format in FORMATS if _shows(format, template)), GENERIC)
    thinking = found.thinking
    if thinking is None or thinking.begin.rstrip() not in template:
        thinking = next((one for signs, one in _THINKING if all(sign in template for sign in signs)), None)
        if found.thinking and found.thinking.anywhere:
            thinking = found.thinking
    held = any(isinstance(form.spelling, Json) for form in found.forms)
    return replace(found, forms=found.forms if held else found.forms + GENERIC.forms, thinking=thinking)


def _shows(format: Format, template: str) -> bool:
    return any(all(sign in template for sign in signs) for signs in format.signs)

"""A chat template compiled, in Jinja's immutable sandbox, with the helpers that templates expect.

The helpers are those of transformers' ``apply_chat_template``: ``raise_exception``, ``strftime_now``, a ``tojson`` that
escapes nothing for HTML, loop controls, and ``{% generation %}`` as a block without effect.

For a model that sees, a content is text with a mark for each picture (``picture``), until the template is drawn.
"""

import datetime
import json
import re
import secrets
from collections.abc import Iterator
from enum import Enum
from typing import Any, cast

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tertulia.engine.care import Plain
from tertulia.engine.traits import Traits, find_traits
from tertulia.errors import StoreError, TemplateRefused

_KEY = secrets.token_hex(12)
_SPELT = f"\u241f{_KEY}\u241f"
"""Stands for a model's word for a picture where a caller has spelt it; nobody can know it beforehand."""
PICTURE = re.compile(f"\u241f{_KEY} (\\d+) (\\d+)\u241f")
"""Stands in a prompt for a picture: its message and its place in there."""


def picture(message: int, place: int) -> str:
    """The mark of a picture."""
    return f"\u241f{_KEY} {message} {place}\u241f"


class _Generation(Extension):
    tags = {"generation"}  # noqa: RUF012 - the base class's own form

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: str) -> None:
    raise TemplateError(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
        default=_listed,
    )


def _listed(value: Any) -> list[Any]:
    """What Jinja's filters give is an iterator; templates write it down as the list that it is elsewhere."""
    if isinstance(value, Iterator):
        return list(cast("Iterator[Any]", value))
    raise TypeError(f"{type(value).__name__} is no JSON")


def _now(form: str) -> str:
    return datetime.datetime.now().strftime(form)  # local time: the day where the model runs


_FAILURES = (
    TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a template may raise that was not made for the messages it is given."""


class _Given(list[Any]):
    """A list that a template was given, and may not change."""


class _Lists(Enum):
    """When a template wants a content as a list of parts."""

    NEVER = 0
    PICTURES = 1
    ALWAYS = 2


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's immutable sandbox, but for lists that a template made itself: some queue the ids of calls in one."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        own = type(obj) is list and attr in ("append", "pop")
        return own or super().is_safe_attribute(obj, attr, value)


def _given(value: Any, word: str = "") -> Any:
    """A value as a template gets it; ``word`` is not let through."""
    if isinstance(value, dict):
        return {key: _given(item, word) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list):
        return _Given(_given(item, word) for item in cast("list[Any]", value))
    return value.replace(word, _SPELT) if word and isinstance(value, str) else value


class Mould:
    """One compiled template, and what it can do. ``image`` is the word that it writes for a picture, if the model
    sees."""

    def __init__(self, source: str, special: dict[str, str], image: str = "") -> None:
        environment = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
        environment.filters["tojson"] = _tojson
        helpers: dict[str, Any] = environment.globals
        helpers.update(raise_exception=_raise, strftime_now=_now)
        try:
            tree = environment.parse(source)
            self._template = environment.from_string(tree)
        except (TemplateError, RecursionError) as error:
            raise StoreError(f"the model's chat template can't be read: {error}") from None
        self._special = special
        self._image = image
        self._listed = _Lists.NEVER
        if image:
            self._listed = self._find_listed()
        self.traits: Traits = find_traits(self._try, *_words(tree))

    def _try(self, values: dict[str, Any]) -> str | None:
        try:
            return self.draw(values)
        except TemplateRefused:
            return None

    def _find_listed(self) -> _Lists:
        """Whether contents have to be lists of parts for this template: always, or to show a picture."""
        word = "qzpictureq"

        def shown(content: Any) -> str:
            values = {"messages": _given([{"role": "user", "content": content}]), "add_generation_prompt": True}
            try:
                return self._render(values)
            except TemplateRefused:
                return ""

        if word not in shown(word):
            return _Lists.ALWAYS
        text = shown([{"type": "text", "text": word}, {"type": "image"}])
        return _Lists.PICTURES if word in text and self._image in text else _Lists.NEVER

    def draw(self, values: dict[str, Any]) -> str:
        """The text for these values, with PICTURE for each picture that a content holds. Raises TemplateRefused, with
        the template's own words."""
        if not self._image:
            return self._render(_given(values))
        values = _given(values, self._image)
        messages: list[Plain] = values["messages"]
        contents = [message["content"] for message in messages if isinstance(message["content"], str)]
        pictures = [found[0] for content in contents for found in PICTURE.finditer(content)]
        listed = [{**message, "content": self._parts(message["content"])} for message in messages]
        texts = self._render({**values, "messages": _Given(listed)}).split(self._image)
        if len(texts) != len(pictures) + 1:
            raise TemplateRefused(
                f"the model's chat template shows {len(texts) - 1} of {len(pictures)} images; "
                "put them into messages of the user's",
                param="messages",
            )
        pieces = [piece for pair in zip(texts, [*pictures, ""], strict=True) for piece in pair]
        return "".join(pieces).replace(_SPELT, self._image)

    def _parts(self, content: Any) -> Any:
        """A content in the form in which this template shows it."""
        whole = isinstance(content, str) and not PICTURE.search(content)
        if self._listed is _Lists.NEVER or (self._listed is _Lists.PICTURES and whole):
            return PICTURE.sub(self._image, content) if isinstance(content, str) else content
        if not isinstance(content, str | None):
            return content
        texts = PICTURE.split(content or "")[::3]
        parts: list[Plain] = []
        for place, text in enumerate(texts):
            parts += [{"type": "image"}] if place else []
            parts += [{"type": "text", "text": text}] if text or len(texts) == 1 else []
        return _Given(parts)

    def _render(self, values: dict[str, Any]) -> str:
        try:
            return self._template.render({"documents": None, **self._special, **values})
        except SecurityError as error:
            raise TemplateRefused(f"the model's chat template does what is not allowed: {error}") from None
        except _FAILURES as error:
            raise TemplateRefused(
                f"the model's chat template refuses these messages: {error}", param="messages"
            ) from None


def _words(tree: nodes.Template) -> tuple[set[str], set[str]]:
    """The variables that a template looks at, and the names of attributes and texts that it has. (Jinja's own search
    for undeclared variables compiles the template a second time.)"""
    variables = {node.name for node in tree.find_all(nodes.Name) if node.ctx == "load"}
    texts = {node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str)}
    return variables, texts | {node.attr for node in tree.find_all(nodes.Getattr)}

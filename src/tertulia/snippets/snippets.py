"""A request to code, for any language and client: the one generator for the page, the command line and the docs."""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from tertulia.errors import BadRequest
from tertulia.snippets import javascript, python, shell
from tertulia.snippets.ask import Ask, Settings, check, look
from tertulia.snippets.table import Row, find

_WRITERS: dict[tuple[str, str], Callable[[Ask], str]] = {
    ("python", "openai"): python.openai,
    ("python", "huggingface_hub"): python.huggingface_hub,
    ("python", "requests"): python.requests,
    ("javascript", "openai"): javascript.openai,
    ("javascript", "huggingface"): javascript.huggingface,
    ("javascript", "fetch"): javascript.fetch,
    ("shell", "curl"): shell.curl,
}


class Snippet(Struct, frozen=True):
    """Code and what belongs to it: how its client is installed, and what it is for a highlighter."""

    language: str
    client: str
    label: str
    install: str
    highlight: str
    code: str


def render(
    request: dict[str, Any], language: str = "", client: str = "", provider: str = "", settings: Settings | None = None
) -> str:
    """The code that sends ``request``, a chat's body with whatever fields, and prints what comes back.

    Without ``language`` and ``client`` it is the first of them that there is. ``provider`` is a provider's name or
    a policy, "" or ``auto`` none. Raises BadRequest, whose ``param`` is ``language``, ``client``, ``provider``,
    ``request`` or ``settings.`` and a name."""
    return make(request, find(language, client)[:1], provider, settings)[0].code


def make(
    request: dict[str, Any], rows: Sequence[Row], provider: str = "", settings: Settings | None = None
) -> list[Snippet]:
    """The snippets for ``rows``. Raises BadRequest as :func:`render` does."""
    settled = check(settings or Settings(), provider)
    return [
        Snippet(
            row.language, row.client, row.label, row.install, row.highlight, _write(request, row, provider, settled)
        )
        for row in rows
    ]


def _write(request: dict[str, Any], row: Row, provider: str, settings: Settings) -> str:
    try:
        return _WRITERS[row.language, row.client](look(request, row, provider, settings))
    except RecursionError:
        raise BadRequest("request is nested too deeply", param="request") from None

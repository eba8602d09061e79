"""The table of providers: what is shipped (``providers.toml``) and what the user's configuration adds or says anew.

A provider is a row. What is odd about one is the name of a small function in :mod:`tertulia.providers.quirks`.
"""

import re
import tomllib
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, structs

from tertulia.config import Provider
from tertulia.errors import ConfigError

_VERSION = re.compile(r"/v\d\w*$")
_HEADER = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)


class Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One provider. Its chat address is ``base_url`` + ``route``, in which ``{model}`` stands for the model's id there;
    ``keys`` are the environment variables that may hold its key. ``response_format`` names how it wants forms said,
    ``quirks`` what else is odd. ``refuses`` are fields of a request that it can't honour, whatever the model."""

    name: str = ""
    base_url: str = ""
    route: str = "/v1/chat/completions"
    keys: tuple[str, ...] = ()
    response_format: str = "openai"
    quirks: tuple[str, ...] = ()
    headers: dict[str, str] = {}
    refuses: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    health: str = ""
    models: dict[str, str] = {}
    price: tuple[float, float] | None = None
    context: int = 0
    custom: bool = False

    @property
    def list_route(self) -> str:
        """Where its models are listed."""
        return f"{self.route.removesuffix('/chat/completions')}/models"


@lru_cache(maxsize=1)
def shipped() -> dict[str, Row]:
    """The providers that Tertulia knows, by name, in the file's order."""
    content = tomllib.loads(Path(__file__).with_name("providers.toml").read_text(encoding="utf-8"))
    return {name: msgspec.convert({"name": name, **row}, Row) for name, row in content.items()}


def rows(own: dict[str, Provider]) -> dict[str, Row]:
    """Every provider: those shipped, with what ``own`` says of them, and the user's. Raises ConfigError."""
    known = shipped()
    found = {name: _join(name, row, own[name]) if name in own else row for name, row in known.items()}
    found |= {name: _join(name, None, said) for name, said in own.items() if name not in known}
    return {name: row for name, row in found.items() if name not in own or own[name].enabled}


def _join(name: str, row: Row | None, said: Provider) -> Row:
    if row is None:
        if not said.base_url and not said.command:
            raise ConfigError(f'[providers.{name}]: base_url is needed, as in "http://127.0.0.1:8000/v1"')
        row = Row(name=name, custom=True)
    base, route = said.base_url.rstrip("/"), said.route
    _check(name, base)
    if base and not route and not base.endswith("/chat/completions"):
        # a base_url as clients write it ends in /v1; one without is given it
        route = "/chat/completions" if _VERSION.search(urlsplit(base).path) else row.route
    elif base and not route:
        base, route = base.removesuffix("/chat/completions"), "/chat/completions"
    _check_headers(name, said.headers)
    if len(said.price) not in (0, 2):
        raise ConfigError(f"[providers.{name}]: price is two numbers, dollars per million tokens read and written")
    return structs.replace(
        row,
        base_url=base or row.base_url,
        route=route or row.route,
        response_format=said.response_format or row.response_format,
        quirks=(*row.quirks, *said.quirks),
        headers={**row.headers, **said.headers},
        refuses=(*row.refuses, *said.refuses),
        command=tuple(said.command) or row.command,
        health=said.health or row.health,
        models={**row.models, **said.models},
        price=(said.price[0], said.price[1]) if said.price else row.price,
        context=said.context or row.context,
        custom=True if base else row.custom,
    )


def _check(name: str, base: str) -> None:
    """Raises ConfigError for an address that is none, or that holds what may be a secret: addresses are told. A
    ``{port}`` in it is not known yet."""
    if "?" in base or "#" in base or "@" in base.partition("//")[2].partition("/")[0]:
        raise ConfigError(
            f"[providers.{name}]: base_url is told in errors and lists, so it can't hold a password or what follows a "
            "'?' or '#': say secrets by key, key_file, key_env or headers"
        )
    try:
        parts = urlsplit(base.replace("{port}", "1"))
        good = not base or (parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0)
    except ValueError:
        good = False
    if not good:
        shown = f" {base!r}" if "@" not in base else ""
        raise ConfigError(f"[providers.{name}]: base_url{shown} is not an address such as http://127.0.0.1:8000/v1")


def _check_headers(name: str, headers: dict[str, str]) -> None:
    """Raises ConfigError for a header that can't be sent; its value, which may be a secret, is not told."""
    for header, value in headers.items():
        if not _HEADER.fullmatch(header):
            raise ConfigError(f"[providers.{name}]: {header!r} in headers is no header's name")
        if not value.isprintable():
            raise ConfigError(
                f"[providers.{name}]: {header} in headers holds a line break or another character that can't be sent"
            )

"""The only reader of configuration files and of the environment.

A setting has one name everywhere: ``port`` in ``[server]`` of the TOML file, ``TERTULIA_SERVER_PORT`` in the
environment, ``--port`` on the command line, ``config.server.port`` here. A flag wins over a variable, a variable over
the file.
"""

import dataclasses
import difflib
import json
import math
import os
import shlex
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from tertulia.errors import ConfigError
from tertulia.settings import Config as Config
from tertulia.settings import Engine as Engine
from tertulia.settings import Images as Images
from tertulia.settings import Ledger as Ledger
from tertulia.settings import Provider as Provider
from tertulia.settings import Router as Router
from tertulia.settings import Server as Server
from tertulia.settings import Store as Store


def load(
    path: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Config:
    """The configuration: defaults, then the file, then the environment, then ``flags`` (``{"server.port": 8080}``; None
    means not given).

    ``path`` is ``--config``; without it the file is ``$XDG_CONFIG_HOME/tertulia/config.toml``, if there is one.
    Raises ConfigError, naming the word that is wrong and the nearest that is right.
    """
    config = Config()
    config.store.path = _home(environ, "XDG_DATA_HOME", ".local/share") / "tertulia" / "models"
    config.ledger.path = _home(environ, "XDG_DATA_HOME", ".local/share") / "tertulia" / "ledger.db"
    config.router.probes = _home(environ, "XDG_DATA_HOME", ".local/share") / "tertulia" / "probes.json"
    config.store.hub = environ.get("HF_ENDPOINT") or config.store.hub
    config.store.hub_token = environ.get("HF_TOKEN", "")
    usual = _home(environ, "XDG_CONFIG_HOME", ".config") / "tertulia" / "config.toml"
    if path is not None:
        _apply_file(config, path)
    elif environ.get("TERTULIA_CONFIG", "usual") and usual.is_file():
        _apply_file(config, usual)
    for table, section in _tables(config).items():
        for name in _names(section):
            variable = f"TERTULIA_{table}_{name}".upper()
            if variable in environ:
                _set(section, name, environ[variable], variable)
    if environ.get("TERTULIA_TOKENS"):
        _set(config.server, "tokens", environ["TERTULIA_TOKENS"], "TERTULIA_TOKENS")
        if not config.server.tokens:
            raise ConfigError("TERTULIA_TOKENS is set, and there is no token in it")
    for key, value in (flags or {}).items():
        if value is not None:
            table, name = key.split(".")
            _set(_tables(config)[table], name, value, f"--{name.replace('_', '-')}")
    _check_images(config.images)
    return config


def _check_images(images: Images) -> None:
    """Raises ConfigError for a mirror or a proxy that could never work."""
    web = ("http://", "https://")
    for prefix, place in images.mirror.items():
        if not prefix.lower().startswith(web):
            raise ConfigError(f"[images.mirror]: {prefix!r} is not the beginning of a URL: https://host/ would be")
        if not place.lower().startswith(web) and not Path(place).expanduser().is_absolute():
            raise ConfigError(f"[images.mirror]: {place!r} is neither a whole path (/srv/pictures) nor a URL")
    if images.proxy and not images.proxy.lower().startswith("http://"):
        raise ConfigError(f"proxy in [images]: {images.proxy!r} is not an address: http://host:port would be")


def child_environment(config: Config | None = None, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for a process that we start: ours, less the secrets that it has no use for. With ``config`` it is
    an engine's: all that it has to know is spelt out as variables, and it reads no file. The time of an answer is the
    gateway's business alone."""
    secret = ("TERTULIA_TOKENS", "TERTULIA_SERVER_TOKENS", "HF_TOKEN")
    own = {name: value for name, value in environ.items() if name not in secret}
    if config is not None:
        own |= {
            f"TERTULIA_{table}_{name}".upper(): _spelt(getattr(section, name))
            for table, section in (("engine", config.engine), ("images", config.images))
            for name in _names(section)
            if name != "model"
        }
        own |= {"TERTULIA_STORE_PATH": str(config.store.path), "TERTULIA_CONFIG": ""}
        own |= {f"TERTULIA_SERVER_{name}_TIMEOUT": "0" for name in ("FIRST_TOKEN", "IDLE", "TOTAL")}
        own |= {
            "TERTULIA_SERVER_BODY_LIMIT": str(2 * config.server.body_limit),
            "TERTULIA_SERVER_CONNECTIONS": "100000",
        }
    return own


def _spelt(value: Any) -> str:
    """A value as it stands in a variable."""
    if isinstance(value, list):
        return ",".join(value)  # pyright: ignore[reportUnknownArgumentType]
    return json.dumps(value) if isinstance(value, dict) else str(value)


def environment() -> dict[str, str]:
    """The whole environment: for a command of the user's, which is to find it as it is."""
    return dict(os.environ)


def variable(name: str, environ: Mapping[str, str] = os.environ) -> str:
    """What a variable of the environment says, such as a provider's key; nothing where it is not set."""
    return environ.get(name, "").strip() if name else ""


def key_of(name: str, provider: Provider | None, variables: Iterable[str]) -> str:
    """The key for the provider ``name``: said in its table, in a file named there, or in the first of ``variables``
    that is set. Raises ConfigError for a file that others can read, and for a key that can't stand in a header."""
    if provider is not None:
        if provider.key:
            return _sendable(provider.key, f"key in [providers.{name}]")
        if provider.key_file is not None:
            return read_secret(provider.key_file, f"key_file in [providers.{name}]")
        variables = (provider.key_env, *variables)
    return next((_sendable(said, one) for one in variables if (said := variable(one))), "")


def _sendable(secret: str, where: str) -> str:
    """``secret``, which is not told where it can't be sent. Raises ConfigError."""
    if not secret.isprintable():
        raise ConfigError(f"{where} holds a line break or another character that can't be sent")
    return secret


def read_secret(file: Path, where: str) -> str:
    """The one line of a file that only its owner can read. Raises ConfigError."""
    try:
        mode, text = file.stat().st_mode, file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"{where}: {file} can't be read: {reason}") from None
    if mode & 0o077:
        raise ConfigError(f"{where}: others can read {file}: `chmod 600 {file}` keeps them out")
    if not text or "\n" in text:
        raise ConfigError(f"{where}: {file} must hold one line, the key")
    return _sendable(text, f"{where}: {file}")


def _home(environ: Mapping[str, str], variable: str, default: str) -> Path:
    return Path(environ[variable]) if environ.get(variable) else Path(environ.get("HOME", "~")).expanduser() / default


def _tables(config: Config) -> dict[str, Any]:
    return {item.name: getattr(config, item.name) for item in dataclasses.fields(config) if item.name != "providers"}


def _names(section: Any) -> list[str]:
    """What can be said in a table. A name that Python keeps for itself has a line behind it there."""
    return [item.name.rstrip("_") for item in dataclasses.fields(section)]


def _apply_file(config: Config, file: Path) -> None:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{file}: there is no such configuration file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from None
    tables = _tables(config)
    for table, values in content.items():
        if table not in tables and table != "providers":
            raise ConfigError(f"{file}: unknown table [{table}]{_nearest(table, [*tables, 'providers'])}")
        entries = _entries(values, file, table)
        if table != "providers":
            _apply(tables[table], entries, file, table)
            continue
        for name, rows in entries.items():
            if name in RESERVED or not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
                raise ConfigError(f"{file}: a provider can't be called {name!r}: choose letters, digits and '-'")
            provider = config.providers[name] = Provider()
            _apply(provider, _entries(rows, file, f"providers.{name}"), file, f"providers.{name}")


def _entries(values: Any, file: Path, table: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ConfigError(f"{file}: [{table}] is a table, not a value")
    return dict(values)  # pyright: ignore[reportUnknownArgumentType]


def _apply(section: Any, entries: dict[str, Any], file: Path, table: str) -> None:
    for name, value in entries.items():
        if name not in _names(section):
            raise ConfigError(f"{file}: unknown name {name} in [{table}]{_nearest(name, _names(section))}")
        _set(section, name, value, f"{file}: {name} in [{table}]")


def _nearest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"


def _set(section: Any, name: str, value: Any, where: str) -> None:
    field_name, kind = next(
        (item.name, item.type) for item in dataclasses.fields(section) if item.name.rstrip("_") == name
    )
    try:
        known = shlex.split(value) if name == "command" and isinstance(value, str) else _cast(value, kind)
    except (KeyError, OverflowError, TypeError, ValueError):
        raise ConfigError(f"{where}: {value!r} is not {_KINDS.get(kind, 'a list of words')}") from None
    least, most = _RANGES.get(name, (0, math.inf))
    if isinstance(known, int | float) and not least <= known <= most:
        bound = f"between {least} and {most}" if most < math.inf else f"at least {least}"
        raise ConfigError(f"{where}: {value!r} is out of bounds, which is {bound}")
    if name in _WORDS and known not in _WORDS[name]:
        raise ConfigError(f"{where}: {value!r} is none of {', '.join(_WORDS[name])}")
    setattr(section, field_name, known)


_RANGES: dict[str, tuple[float, float]] = {
    "port": (0, 65535),
    "body_limit": (1024, math.inf),
    "connections": (1, math.inf),
    "threads": (0, 1024),
    "kv": (1 << 20, math.inf),
    "batch": (1, 4096),
    "timeout": (0.01, math.inf),
    "redirects": (0, 20),
    "size": (1, math.inf),
    "pixels": (1, math.inf),
    "tokens": (200, math.inf),
}
_WORDS = {"weights": ("int8", "f32"), "policy": ("fastest", "cheapest", "preferred", "local")}
RESERVED = frozenset({"v1", "api", "models", "status", "health", "metrics", "settings", "docs", "playground"}) | {
    *("local", "fastest", "cheapest", "preferred", "auto")
}
"""Names that are addresses here, or mean something behind a model's name, and so no provider's."""
_KINDS: dict[Any, str] = {
    int: "a whole number (sizes may end in K, M or G)",
    float: "a number",
    bool: "true or false",
    str: "a word",
    Path: "a path",
    Path | None: "a path",
}
_BOOLS = {"1": True, "true": True, "0": False, "false": False}
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def _mapping(value: Any) -> dict[str, str]:
    """A table of words; a list of words, each for itself; ``a=b, c`` in one word, or JSON's ``{"a": "b"}``."""
    if isinstance(value, str):
        words = [item.strip() for item in value.split(",") if item.strip()]
        value = json.loads(value) if value.lstrip().startswith("{") else words
    if isinstance(value, list):
        items = [str(item) for item in value]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        return {name: other or name for name, _, other in (item.partition("=") for item in items)}
    if not isinstance(value, dict):
        raise TypeError(value)
    return {str(name): str(other) for name, other in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _cast(value: Any, kind: Any) -> Any:
    if kind is bool:
        return value if isinstance(value, bool) else _BOOLS[value.lower()]
    if kind is int:
        if isinstance(value, str) and value[-1:].lower() in _UNITS:
            return int(float(value[:-1]) * _UNITS[value[-1].lower()])
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise ValueError(value)
        return int(value)
    if kind is float:
        return float(value)
    if get_origin(kind) is dict:
        return _mapping(value)
    if get_origin(kind) is list:
        items = [item.strip() for item in value.split(",")] if isinstance(value, str) else list(value)
        return [get_args(kind)[0](item) for item in items if item]
    if kind is str:
        if not isinstance(value, str):
            raise TypeError(value)
        return value
    return Path(value).expanduser()

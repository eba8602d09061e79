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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin

from tertulia.errors import ConfigError

MEBI = 1 << 20


@dataclass(slots=True)
class Server:
    """``[server]``: the address, who may use it, and the bounds of a connection. Times are in seconds."""

    host: str = "127.0.0.1"
    port: int = 8080
    open: bool = False
    tokens: list[str] = field(default_factory=list[str])
    tokens_file: Path | None = None
    cors: list[str] = field(default_factory=list[str])
    hosts: list[str] = field(default_factory=list[str])
    body_limit: int = 64 * MEBI
    connections: int = 1024
    header_timeout: float = 15
    first_token_timeout: float = 60
    idle_timeout: float = 30
    total_timeout: float = 0
    grace: float = 20


@dataclass(slots=True)
class Engine:
    """``[engine]``: the local engine. ``kv`` is the KV pool in bytes; ``context`` and ``threads`` 0 mean the model's
    own and all cores; ``weights`` is how safetensors are loaded; ``fold_messages`` is whether messages that a model's
    template refuses are folded and merged until it takes them; ``formats`` says how a model writes its calls
    (``ID=FORMAT``), where its template doesn't show it."""

    model: list[str] = field(default_factory=list[str])
    context: int = 0
    threads: int = 0
    kv: int = 1024 * MEBI
    batch: int = 64
    queue: int = 256
    queue_timeout: float = 30
    weights: str = "int8"
    exact: bool = False
    fold_messages: bool = True
    formats: list[str] = field(default_factory=list[str])
    load_timeout: float = 300

    def format_of(self, model: str) -> str:
        """The format that ``formats`` name for a model, or nothing."""
        return next((form for name, _, form in (one.rpartition("=") for one in self.formats) if name == model), "")


@dataclass(slots=True)
class Store:
    """``[store]``: where models are kept and where they come from."""

    path: Path = Path()
    hub: str = "https://huggingface.co"
    hub_token: str = ""


@dataclass(slots=True)
class Router:
    """``[router]``: who is tried, in which order, and for how long. Times are in seconds.

    ``policy`` is what a model without a suffix gets; ``order`` are providers as the user prefers them. Of all requests
    of the last minute the share ``retry_budget`` may be tried again elsewhere. ``continue_`` (``continue``) lets a
    stream that broke go on from another candidate; ``fallback`` is a model here for when nobody else can answer,
    ``stand_in`` lets it answer for models that nobody here has. ``probe`` switches the background check on, which may
    spend ``probe_budget`` US dollars a day; ``probe_price`` is what it takes for a million tokens whose price it
    doesn't know (0: it doesn't ask for such), ``probe_image`` a public image and a word that tells what it shows,
    ``probes`` the file that keeps what was found. ``forward_hf_token`` sends a caller's own ``hf_...`` token to Hugging
    Face."""

    policy: str = "fastest"
    order: list[str] = field(default_factory=list[str])
    attempts: int = 4
    retry_budget: float = 0.2
    first_timeout: float = 30
    idle_timeout: float = 30
    whole_timeout: float = 300
    breaker_failures: int = 3
    breaker_pause: float = 15
    continue_: bool = False
    fallback: str = ""
    stand_in: bool = False
    probe: bool = False
    probe_budget: float = 0.1
    probe_price: float = 0
    probe_image: list[str] = field(default_factory=list[str])
    probes: Path = Path()
    forward_hf_token: bool = False


@dataclass(slots=True)
class Provider:
    """``[providers.NAME]``: a provider of the user's own, or what is said anew about one that is known.

    ``base_url`` and ``route`` make its address; ``key`` is its key, ``key_env`` the variable that holds it,
    ``key_file`` a file that nobody else can read. ``models`` maps ids here to ids there (a list: the same ones).
    ``response_format`` names how it wants forms said, ``quirks`` what is odd about it, ``refuses`` the fields of a
    request that it can't honour. With a ``command`` it is a process that is started here, when it is first asked for or
    (``eager``) with the server; it has ``load_timeout`` seconds until ``health``, a path, says that it is ready."""

    base_url: str = ""
    route: str = ""
    key: str = ""
    key_env: str = ""
    key_file: Path | None = None
    models: dict[str, str] = field(default_factory=dict[str, str])
    response_format: str = ""
    quirks: list[str] = field(default_factory=list[str])
    headers: dict[str, str] = field(default_factory=dict[str, str])
    refuses: list[str] = field(default_factory=list[str])
    command: list[str] = field(default_factory=list[str])
    health: str = ""
    eager: bool = False
    load_timeout: float = 600
    price: list[float] = field(default_factory=list[float])
    context: int = 0
    enabled: bool = True


@dataclass(slots=True)
class Ledger:
    """``[ledger]``: the database of callers' tokens and of what was spent."""

    path: Path = Path()


@dataclass(slots=True)
class Images:
    """``[images]``: the pictures that a request names. Whatever isn't a public address is refused, but for ``hosts``,
    allowed by name. ``mirror`` maps the beginning of a URL to a folder, or to the beginning of another URL. All of one
    picture may take ``timeout`` seconds, ``redirects``, ``size`` bytes and ``pixels``; a request may have ``count``,
    and ``queue`` of all requests may be read or wait for it. ``seen`` bytes of what a model saw in pictures are kept
    for later questions. Where a model takes pictures of any size, one is scaled down to ``tokens`` of a prompt.
    ``proxy`` is an ``http://`` address; none of the environment's is heeded."""

    hosts: list[str] = field(default_factory=list[str])
    mirror: dict[str, str] = field(default_factory=dict[str, str])
    timeout: float = 10
    redirects: int = 3
    size: int = 20 * MEBI
    pixels: int = 40_000_000
    count: int = 20
    queue: int = 256
    seen: int = 64 * MEBI
    tokens: int = 1280
    proxy: str = ""


@dataclass(slots=True)
class Config:
    server: Server = field(default_factory=Server)
    engine: Engine = field(default_factory=Engine)
    images: Images = field(default_factory=Images)
    store: Store = field(default_factory=Store)
    router: Router = field(default_factory=Router)
    ledger: Ledger = field(default_factory=Ledger)
    providers: dict[str, Provider] = field(default_factory=dict[str, Provider])


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

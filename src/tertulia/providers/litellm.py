"""A ``config.yaml`` of LiteLLM, said in our words. Pure: text in, text out.

A deployment of its ``model_list`` becomes a model of one of our rows. What has no place here is told by its name, never
by its value, which may be a secret.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

from tertulia.config import RESERVED
from tertulia.errors import ConfigError
from tertulia.providers import homes, sections
from tertulia.providers.homes import Home
from tertulia.providers.sections import Table, count, number, table
from tertulia.providers.table import shipped

Lookup = Callable[[str], str]
"""What a variable of the environment says; nothing where it is not set."""

_ENV = "os.environ/"
_ADDRESS = r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(/[^\s?#\\]*)?"
_NO_KEYS = frozenset({"", "empty", "none", "null", "fake", "fake-key", "fake-api-key", "dummy", "anything", "any",
    "not-needed", "no-key", "no-key-required", "ollama", "lm-studio", "xxx", "sk-1234", "sk-xxx"})  # fmt: skip
"""What is written where a key must be said and none is needed."""
_CARRIED = frozenset({"model", "api_key", "api_base", "base_url", "custom_llm_provider", "extra_headers", "headers",
    "organization", "input_cost_per_token", "output_cost_per_token", "order", "model_info"})  # fmt: skip
_RATE = "how many calls are made is not bounded here; what a token spends is (`tertulia token new --cap`)"
_TIMES = "times and tries are the same for all, in [router]"
_REASONS = {
    **dict.fromkeys(("rpm", "tpm", "itpm", "otpm", "max_parallel_requests", "max_budget", "budget_duration"), _RATE),
    **dict.fromkeys(("timeout", "stream_timeout", "max_retries", "num_retries", "cooldown_time"), _TIMES),
    "api_version": "its v1 API is used, which has no api_version",
    "drop_params": "no field is dropped: a provider that can't honour one is not asked",
    "additional_drop_params": "no field is dropped: `refuses` names what a provider can't honour",
    "litellm_credential_name": "its key is named elsewhere: write key_env into its table",
    "tags": "candidates are not chosen by tags here",
    "weight": "candidates are not drawn by weight here, but ordered ([router] policy)",
}


class Imported(NamedTuple):
    """Our configuration as TOML, and what could not be carried over, a line each."""

    toml: str
    left: list[str]


@dataclass
class _Row:
    """A table that is being written. ``key`` is a variable's name behind ``os.environ/``, or a key that is written
    nowhere but tells this row from others."""

    name: str
    home: Home
    key: str
    headers: dict[str, str]
    models: dict[str, str] = field(default_factory=dict[str, str])
    prices: set[tuple[float, ...]] = field(default_factory=set[tuple[float, ...]])
    contexts: set[int] = field(default_factory=set[int])

    @property
    def key_env(self) -> str:
        """The variable to look into for its key; none where there is no key."""
        if self.key.startswith(_ENV):
            return self.key.removeprefix(_ENV)
        own = self.home.row
        if own and (self.name == own.name or not self.key):
            return own.keys[0]
        return f"{self.name.replace('-', '_').upper()}_API_KEY" if self.key else self.home.key_env


def read(text: str, variable: Lookup) -> Imported:
    """The configuration that says the same. ``variable`` is asked for addresses that the file leaves to the
    environment. Raises ConfigError for a text that is no such file."""
    try:
        content: Any = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"that is not YAML: {' '.join(str(error).split())}") from None
    entries = table(content).get("model_list")
    if not isinstance(entries, list) or not entries:
        raise ConfigError("there is no model_list in it, as a config.yaml of LiteLLM has one")
    reader = _Reader(variable)
    for place, entry in enumerate(entries, 1):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        reader.add(table(entry), place)
    router, aliases, left = sections.read(table(content))
    reader.alias(aliases)
    return Imported(reader.write(router), reader.told() + left)


class _Reader:
    """The rows that the deployments so far come to, and what could not be carried over."""

    def __init__(self, variable: Lookup) -> None:
        self._variable = variable
        self._rows: list[_Row] = []
        self._orders: dict[str, int] = {}
        self._left: dict[str, list[str]] = {}

    def add(self, entry: Table, place: int) -> None:
        params, facts = table(entry.get("litellm_params")), table(entry.get("model_info"))
        name, model = entry.get("model_name"), params.get("model")
        if not isinstance(name, str) or not isinstance(model, str) or not name or not model.strip("/ "):
            self._leave("it has no model_name, or no model in its litellm_params", f"entry {place} of model_list")
            return
        mode = facts.get("mode") or "chat"
        if mode not in ("chat", "responses"):
            self._leave(f"it is no model for chats ({mode})", name)
            return
        provider, identity = _split(model, params)
        base = self._address(params.get("api_base") or params.get("base_url"), name)
        home = None if base is None else self._home(provider, identity, base, name)
        if home is None:
            return
        if home.row and home.row.name == "huggingface":
            identity = _routed(identity)
        row = self._row(home, name, identity, params)
        self._note(row, name, params, facts)
        if order := count(params.get("order")):
            self._orders[row.name] = min(order, self._orders.get(row.name, order))
        if "*" in name:
            self._leave(f"{row.name} is asked for a model that it isn't said to have as ID:{row.name}", name)
            return
        row.models[name] = identity
        row.prices.add(_price(facts | params))
        row.contexts.add(count(facts.get("max_input_tokens")))

    def _address(self, said: Any, name: str) -> str | None:
        """The address that the file says, or that the variable holds which it names; None if that is not to be had."""
        word = str(said or "").strip()
        if not word.startswith(_ENV):
            return word
        if found := self._variable(word.removeprefix(_ENV)):
            return found
        self._leave(
            f"its api_base stands in {word.removeprefix(_ENV)}, which is not set: set it and import again", name
        )
        return None

    def _home(self, provider: str, identity: str, base: str, name: str) -> Home | None:
        """Where a deployment is served; None where we can't get, which is noted."""
        if provider in homes.UNSPOKEN:
            self._leave(f"{homes.UNSPOKEN[provider]} is not spoken here", name)
        elif not provider and not base:
            self._leave(f"whose {identity} is, is not known: write the provider before it, as in openai/...", name)
        elif base and not re.fullmatch(_ADDRESS, base):
            self._leave("its api_base is not an address like https://host/v1", name)
        elif base:
            return homes.at(provider, base)
        elif home := homes.house(provider):
            return home
        else:
            self._leave(f"the address of {provider} is not known: write its api_base", name)
        return None

    def _row(self, home: Home, name: str, identity: str, params: Mapping[str, Any]) -> _Row:
        """The row of a deployment: one of the same address, key and headers, with no other model of that name."""
        key, headers = str(params.get("api_key") or "").strip(), _headers(params)
        usual = home.row.keys if home.row else (home.key_env,)
        if key.removeprefix(_ENV) in usual or (key.casefold() in _NO_KEYS and not home.row):
            key = ""
        for row in self._rows:
            same = (row.home.base_url, row.key, row.headers) == (home.base_url, key, headers)
            if same and row.models.get(name, identity) == identity:
                return row
        row = _Row(self._free(home), home, key, headers)
        self._rows.append(row)
        return row

    def _free(self, home: Home) -> str:
        """A name that no row has yet. Those of shipped rows are theirs alone."""
        taken = {row.name for row in self._rows} | RESERVED | {"local"}
        taken |= shipped().keys() - ({home.row.name} if home.row else set[str]())
        names = [home.name, *(f"{home.name}-{number}" for number in range(2, len(taken) + 3))]
        return next(name for name in names if name not in taken)

    def _note(self, row: _Row, name: str, params: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        if row.key and not row.key.startswith(_ENV):
            self._leave(f"its key is written in the file and not carried over: put it into {row.key_env}", name)
        for word in params:
            if word not in _CARRIED:
                self._leave(_REASONS.get(word, "it is said by requests, not here"), f"{word} of {name}")
        for word, value in (table(params.get("headers")) | table(params.get("extra_headers"))).items():
            if _secret(word, value):
                self._leave("it may be a secret: write it into headers of its table yourself", f"{word} of {name}")
        if any(word.startswith("supports_") for word in facts):
            self._leave("it is not believed but probed (`tertulia probe`)", f"supports_... of {name}")

    def alias(self, aliases: Mapping[str, str]) -> None:
        """Other names for models."""
        for other, name in aliases.items():
            rows = [row for row in self._rows if name in row.models]
            for row in rows:
                row.models.setdefault(other, row.models[name])
            if not rows:
                self._leave(f"there is no {name} in the list", f"model_group_alias {other}")

    def _leave(self, why: str, name: str) -> None:
        names = self._left.setdefault(why, [])
        if name not in names:
            names.append(name)

    def told(self) -> list[str]:
        """What was left, each reason with what it is about."""
        return [f"{', '.join(names)}: {why}" for why, names in self._left.items()]

    def write(self, router: Table) -> str:
        """All of it as TOML."""
        if self._orders and "policy" not in router:
            names = sorted(self._orders, key=lambda name: self._orders[name])
            router = router | {"policy": "preferred", "order": names}
        tables = [_lines("router", router)] if router else []
        for row in self._rows:
            if (fields := self._fields(row)) or not row.models:
                tables.append(_lines(f"providers.{row.name}", fields))
            if row.models:
                tables.append(_lines(f"providers.{row.name}.models", row.models))
        return "\n\n".join(tables) + "\n"

    def _fields(self, row: _Row) -> Table:
        fields: Table = {}
        home, own = row.home, row.home.row
        if own is None or row.name != own.name or home.base_url != homes.base_of(own):
            fields["base_url"] = home.base_url
            if not re.fullmatch(r".*/v\d+", home.base_url):
                fields["route"] = "/chat/completions"
        if own and row.name != own.name:
            usual = own.response_format == "openai"
            fields |= {"response_format": "" if usual else own.response_format, "refuses": list(own.refuses)}
        if not own or row.name != own.name or row.key_env not in own.keys:
            fields["key_env"] = row.key_env
        fields["headers"] = row.headers
        if len(row.prices) == 1:
            fields["price"] = list(max(row.prices))
        elif row.prices:
            self._leave("a row has one price, and these models have several", row.name)
        if len(row.contexts) == 1:
            fields["context"] = max(row.contexts)
        return {name: value for name, value in fields.items() if value}


def _split(model: str, params: Mapping[str, Any]) -> tuple[str, str]:
    """The provider and the model's id there; no provider where that can't be known."""
    said = str(params.get("custom_llm_provider") or "")
    head, slash, tail = model.partition("/")
    if slash and (head in homes.KNOWN or head == said):
        return head, tail
    if said:
        return said, model
    guess = next((provider for form, provider in homes.GUESSES if re.fullmatch(form, model)), "")
    return guess or (head if slash else ""), model if guess or not slash else tail


def _routed(identity: str) -> str:
    """LiteLLM's ``provider/owner/model`` for Hugging Face as the router itself has it."""
    provider, _, model = identity.partition("/")
    return f"{model}:{provider}" if "/" in model else identity


def _secret(name: str, value: Any) -> bool:
    """Whether a header is a secret, or is named where we don't look for one."""
    return bool(re.search("auth|key|token|secret|cookie", name, re.IGNORECASE)) or str(value).startswith(_ENV)


def _headers(params: Mapping[str, Any]) -> dict[str, str]:
    said = {**table(params.get("headers")), **table(params.get("extra_headers"))}
    headers = {name: str(value) for name, value in said.items() if not _secret(name, value)}
    if organization := params.get("organization"):
        headers["OpenAI-Organization"] = str(organization)
    return headers


def _price(facts: Mapping[str, Any]) -> tuple[float, ...]:
    """US dollars per million tokens read and written; empty if they are not told."""
    read, written = number(facts.get("input_cost_per_token")), number(facts.get("output_cost_per_token"))
    return () if read is None or written is None else (round(read * 1e6, 6), round(written * 1e6, 6))


def _lines(name: str, values: Mapping[str, Any]) -> str:
    return "\n".join([f"[{name}]", *(f"{_key(word)} = {_value(value)}" for word, value in values.items())])


def _key(word: str) -> str:
    return word if re.fullmatch(r"[A-Za-z0-9_-]+", word) else _value(word)


def _value(value: Any) -> str:
    """A value as TOML writes it."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _quote(value)
        case dict():
            return "{ " + ", ".join(f"{_key(name)} = {_value(one)}" for name, one in table(value).items()) + " }"
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"  # pyright: ignore[reportUnknownArgumentType]
        case _:
            return repr(value)


def _quote(word: str) -> str:
    def escape(found: re.Match[str]) -> str:
        return f"\\u{ord(found[0]):04x}"

    plain = word.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", escape, plain.encode(errors="replace").decode()) + '"'

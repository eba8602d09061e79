"""What a ``config.yaml`` of LiteLLM says beside its models, as our ``[router]``."""

from collections.abc import Callable
from typing import Any, cast

Table = dict[str, Any]

_POLICIES = {
    "latency-based-routing": "fastest",
    "cost-based-routing": "cheapest",
}
_NUMBERS: dict[str, tuple[str, Callable[[float], float | int]]] = {
    "num_retries": ("attempts", lambda tries: int(tries) + 1),
    "allowed_fails": ("breaker_failures", lambda fails: int(fails) + 1),
    "cooldown_time": ("breaker_pause", float),
    "timeout": ("whole_timeout", float),
    "request_timeout": ("whole_timeout", float),
    "stream_timeout": ("first_timeout", float),
}
"""Our word for what both have, and how its number is ours."""
_ELSEWHERE = {
    "master_key": "callers' tokens are made with `tertulia token new`, or stand in TERTULIA_TOKENS",
    "database_url": "tokens and the usage log are in a file of their own ([ledger] path)",
    "store_model_in_db": "rows are in the configuration file",
    "drop_params": "no field is dropped: a provider that can't honour one is not asked",
    "modify_params": "no request is changed so that a provider takes it",
    "environment_variables": "set them where the server is started",
    "model_group_alias": "it is no table of names",
    "routing_strategy_args": "what is fastest is measured here",
    "max_fallbacks": "[router] attempts bounds how many are tried in all",
    "default_fallbacks": 'requests name others themselves: "models": [...]; [router] fallback is a model here',
    "include": "its models are in another file: import that as well",
    "credential_list": "keys are named by key_env or key_file in a provider's table",
}
_FALLBACKS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
_SECTIONS = ("router_settings", "litellm_settings", "general_settings")


def read(file: Table) -> tuple[Table, dict[str, str], list[str]]:
    """What goes into ``[router]``, other names for models, and what could not be carried over, a line each."""
    router: Table = {}
    aliases: dict[str, str] = {}
    left: list[str] = []
    for section in reversed(_SECTIONS):  # router_settings, the last, has the word
        nothing: list[str] = []
        for word, value in table(file.get(section)).items():
            if value is None or value is False or value == [] or value == {}:
                continue
            if word in _FALLBACKS:
                left += [f"{section}: {word}: {line}" for line in _fallbacks(value)]
            elif word == "model_group_alias" and (said := _aliases(value)):
                aliases |= said
            elif word == "routing_strategy" and str(value) in _POLICIES:
                router["policy"] = _POLICIES[str(value)]
            elif word == "routing_strategy":
                left.append(f"{section}: routing_strategy {value}: the policies here are fastest, cheapest, preferred")
            elif word in _NUMBERS and (told := number(value)) is not None and told >= 0:
                name, convert = _NUMBERS[word]
                router[name] = convert(told)
            elif word in _ELSEWHERE:
                left.append(f"{section}: {word}: {_ELSEWHERE[word]}")
            else:
                nothing.append(str(word))
        if nothing:
            left.append(f"{section}: {', '.join(nothing)}: there is nothing like it here")
    others = [word for word in file if word not in (*_SECTIONS, "model_list")]
    left += [f"{word}: {_ELSEWHERE.get(word, 'there is nothing like it here')}" for word in others]
    return router, aliases, left


def _fallbacks(value: Any) -> list[str]:
    """Each chain of models, and how it is said here."""
    lines: list[str] = []
    for entry in cast(list[Any], value) if isinstance(value, list) else [value]:
        for name, others in table(entry).items():
            chain = cast(list[Any], others) if isinstance(others, list) else [others]
            names = ", ".join(f'"{one}"' for one in [name, *(table(other).get("model", other) for other in chain)])
            lines.append(f'a request names the models itself: "models": [{names}]')
    return lines or ["it is no list of models"]


def _aliases(value: Any) -> dict[str, str]:
    named = {str(other): table(one).get("model", one) for other, one in table(value).items()}
    return {other: name for other, name in named.items() if isinstance(name, str)}


def table(value: Any) -> Table:
    """``value`` if it is a table with names, else an empty one."""
    return cast(Table, value) if isinstance(value, dict) and all(isinstance(name, str) for name in value) else {}  # pyright: ignore[reportUnknownVariableType]


def number(value: Any) -> float | None:
    """A number, also where it is written as a word; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        told = float(value)
    except ValueError:
        return None
    return told if abs(told) < float("inf") else None


def count(value: Any) -> int:
    """A whole number above zero; 0 for anything else."""
    told = number(value)
    return int(told) if told is not None and told > 0 else 0

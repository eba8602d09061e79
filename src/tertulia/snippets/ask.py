"""What a snippet has to say, the same for all languages: a request and the settings, looked through once. Pure."""

import re
from typing import Any, cast

from msgspec import Struct

from tertulia.errors import BadRequest
from tertulia.snippets.table import HUGGING_FACE, POLICIES, PROVIDERS, TAKEN, Row

BILL_TO = "X-HF-Bill-To"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_TOKEN = re.compile(r"(?:hf|sk|gsk|r8|nvapi|tgp)_[A-Za-z0-9_]{16,}")
"""A token itself, which would do as a name."""
_ADDRESS = re.compile(r"https?://(?:\[[0-9a-fA-F:.]+\]|[^\s/?#\\\"'`<>{}\[\]]+)[^\s?#\\\"'`<>{}\[\]]*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_OWN = ("huggingface_hub", "huggingface")


class Settings(Struct, frozen=True):
    """``base_url`` ends with /v1 as a rule; without one the address is Hugging Face's. ``token`` is the name of the
    variable that holds the token; where it is not set, ``fallback`` is sent, or without one the snippet fails. (At
    Hugging Face's address there is none.) ``bill_to`` is the organisation that pays there."""

    base_url: str = ""
    token: str = "HF_TOKEN"
    bill_to: str = ""
    fallback: str = "none"


class Ask(Struct, frozen=True):
    """A request as a snippet makes it: ``body`` with the model as it is named there, ``provider`` where the client has
    an argument for it. ``url`` is nothing where the client knows the address itself; ``page`` asks for the
    look of Hugging Face's page, letter for letter. ``many`` is whether there may be several choices."""

    body: dict[str, Any]
    address: str
    url: str
    provider: str
    token: str
    fallback: str
    bill_to: str
    page: bool
    stream: bool
    tools: bool
    many: bool
    usage: bool

    @property
    def endpoint(self) -> str:
        """Where a client that knows nothing posts to."""
        return f"{self.address}/chat/completions"


def check(settings: Settings, provider: str = "") -> Settings:
    """``settings`` made fit to be used. Raises BadRequest, whose ``param`` says which of them is not."""
    address = settings.base_url.strip().rstrip("/")
    if address and (len(address) > 2000 or not address.isprintable() or not _ADDRESS.fullmatch(address)):
        raise _wrong("settings.base_url", "an address such as http://127.0.0.1:8080/v1")
    token = settings.token.strip() or "HF_TOKEN"
    if not _VARIABLE.fullmatch(token) or _TOKEN.fullmatch(token):
        # Not repeated: somebody may have put the token itself here.
        raise _wrong("settings.token", "the name of an environment variable such as HF_TOKEN, not a token itself")
    bill_to = settings.bill_to.strip()
    if len(bill_to) > 200 or not (bill_to.isascii() and bill_to.isprintable()):
        raise _wrong("settings.bill_to", "the name of an organisation: printable ASCII")
    if provider and not _NAME.fullmatch(provider):
        raise _wrong("provider", "a provider's name or a policy such as groq or cheapest")
    return Settings(address, token, bill_to, settings.fallback)


def look(request: dict[str, Any], row: Row, provider: str, settings: Settings) -> Ask:
    """What the snippet for ``row`` has to say."""
    there = settings.base_url in ("", HUGGING_FACE)
    own = there and row.client in _OWN
    provider = "" if provider == "auto" else provider
    argument = provider if own and provider in PROVIDERS else ""
    if row.client == "huggingface" and TAKEN & request.keys():
        argument = ""  # with one the client asks the Hub first, and by the same way
    model = _model(request.get("model"), provider, argument)
    rest = {name: value for name, value in request.items() if name not in ("model", "messages")}
    body = {"model": model} if model is not None or "model" in request else {}
    body |= {"messages": request["messages"]} if "messages" in request else {}
    choices, options = request.get("n"), request.get("stream_options")
    return Ask(
        body=body | rest,
        address=settings.base_url or HUGGING_FACE,
        url="" if own else settings.base_url or HUGGING_FACE,
        provider=argument,
        token=settings.token,
        fallback="" if there else settings.fallback,
        bill_to=settings.bill_to,
        page=own and row.client == "huggingface_hub",
        stream=request.get("stream") is True,
        tools=bool(request.get("tools")),
        many=isinstance(choices, int) and choices > 1,
        usage=isinstance(options, dict) and bool(cast(dict[str, Any], options).get("include_usage")),
    )


def _model(model: Any, provider: str, argument: str) -> Any:
    """The model's name with ``provider`` behind it, in place of one that is there; or, where the client has an
    ``argument`` for it, without."""
    if not provider or not (model is None or isinstance(model, str)):
        return model
    bare, _, suffix = (model or "").rpartition(":")
    name = bare if bare and suffix in (provider, *POLICIES) else model or "default"
    return name if argument else f"{name}:{provider}"


def _wrong(field: str, what: str) -> BadRequest:
    return BadRequest(f"{field} must be {what}", param=field)

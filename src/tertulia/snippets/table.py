"""What there is: languages and their clients, and what is peculiar to Hugging Face's address and clients. Data."""

from msgspec import Struct

from tertulia.errors import BadRequest

HUGGING_FACE = "https://router.huggingface.co/v1"


class Row(Struct, frozen=True):
    """A client of a language: its name, how it is called on the page, the line that installs it (or nothing), the
    language's name for syntax highlighting, and what a file's name ends with."""

    language: str
    client: str
    label: str
    install: str
    highlight: str
    extension: str


ROWS = (
    Row("python", "openai", "openai", "pip install openai", "python", "py"),
    Row("python", "huggingface_hub", "huggingface_hub", "pip install huggingface_hub", "python", "py"),
    Row("python", "requests", "requests", "pip install requests", "python", "py"),
    Row("javascript", "openai", "openai", "npm install openai", "javascript", "mjs"),
    Row(
        "javascript", "huggingface", "@huggingface/inference", "npm install @huggingface/inference", "javascript", "mjs"
    ),
    Row("javascript", "fetch", "fetch", "", "javascript", "mjs"),
    Row("shell", "curl", "curl", "", "bash", "sh"),
)

_PARAMETERS = (
    *("messages", "model", "stream", "frequency_penalty", "logit_bias", "logprobs", "max_tokens", "n"),
    *("presence_penalty", "response_format", "seed", "stop", "stream_options", "temperature", "tool_choice", "tools"),
    *("top_logprobs", "top_p"),
)
PARAMETERS = {
    "openai": frozenset(_PARAMETERS)
    | {"audio", "function_call", "functions", "max_completion_tokens", "metadata", "modalities", "parallel_tool_calls"}
    | {"prediction", "prompt_cache_key", "reasoning_effort", "safety_identifier", "service_tier", "store", "user"}
    | {"verbosity", "web_search_options"},
    "huggingface_hub": frozenset(_PARAMETERS) | {"tool_prompt"},
}
"""The fields that a Python client has a parameter for; all others go into its ``extra_body``."""

TAKEN = frozenset({"accessToken", "data", "endpointUrl", "provider", "urlTransform"})
"""The names that @huggingface/inference takes for its own settings: it would never send such a field."""

PROVIDERS = frozenset(
    {
        *("baseten", "cerebras", "cohere", "deepinfra", "featherless-ai", "fireworks-ai", "groq", "hf-inference"),
        *("novita", "nscale", "ovhcloud", "publicai", "scaleway", "together", "zai-org"),
    }
)
"""Whom Hugging Face's clients know by name. Others, and policies, are said behind the model's name."""

POLICIES = ("fastest", "cheapest", "preferred")


def find(language: str = "", client: str = "") -> list[Row]:
    """The rows of a language and of a client; either may be left open. A client may be called by its label.

    Raises BadRequest, whose ``param`` is ``language`` or ``client``, where there is no such."""
    rows = [row for row in ROWS if language in ("", row.language)]
    if not rows:
        raise BadRequest(f"language must be one of {', '.join(languages())}, not {language[:40]!r}", param="language")
    found = [row for row in rows if client in ("", row.client, row.label)]
    if not found:
        where = f" for {language}" if language else ""
        names = ", ".join(dict.fromkeys(row.client for row in rows))
        raise BadRequest(f"client must be one of {names}{where}, not {client[:40]!r}", param="client")
    return found


def languages() -> list[str]:
    """All of them, in the order in which they are offered."""
    return list(dict.fromkeys(row.language for row in ROWS))

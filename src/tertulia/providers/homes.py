"""Where the providers live that a ``config.yaml`` of LiteLLM may name: data, and how an address is read."""

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from tertulia.providers.table import Row, shipped


class Home(NamedTuple):
    """Where chats are answered: at ``base_url`` + ``/chat/completions``. ``name`` is what its row would be called,
    ``key_env`` where LiteLLM looks for its key; ``row`` is the shipped row, if it is that provider."""

    name: str
    base_url: str
    key_env: str = ""
    row: Row | None = None


SHIPPED = {
    "baseten": "baseten",
    "cerebras": "cerebras",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "deepinfra": "deepinfra",
    "featherless_ai": "featherless-ai",
    "fireworks_ai": "fireworks-ai",
    "groq": "groq",
    "huggingface": "huggingface",
    "novita": "novita",
    "nscale": "nscale",
    "openai": "openai",
    "ovhcloud": "ovhcloud",
    "publicai": "publicai",
    "scaleway": "scaleway",
    "together_ai": "together",
    "zai": "zai-org",
}
"""LiteLLM's names of providers that we have a row for."""

HOMES = {
    "anthropic": Home("anthropic", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
    "dashscope": Home("dashscope", "https://dashscope.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY"),
    "deepseek": Home("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "gemini": Home("gemini", "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
    "hyperbolic": Home("hyperbolic", "https://api.hyperbolic.xyz/v1", "HYPERBOLIC_API_KEY"),
    "lambda_ai": Home("lambda", "https://api.lambda.ai/v1", "LAMBDA_API_KEY"),
    "llamafile": Home("llamafile", "http://127.0.0.1:8080/v1"),
    "mistral": Home("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "moonshot": Home("moonshot", "https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
    "nebius": Home("nebius", "https://api.studio.nebius.ai/v1", "NEBIUS_API_KEY"),
    "nvidia_nim": Home("nvidia", "https://integrate.api.nvidia.com/v1", "NVIDIA_NIM_API_KEY"),
    "ollama": Home("ollama", "http://127.0.0.1:11434/v1"),
    "ollama_chat": Home("ollama", "http://127.0.0.1:11434/v1"),
    "openrouter": Home("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "perplexity": Home("perplexity", "https://api.perplexity.ai", "PERPLEXITYAI_API_KEY"),
    "sambanova": Home("sambanova", "https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY"),
    "vercel_ai_gateway": Home("vercel", "https://ai-gateway.vercel.sh/v1", "VERCEL_AI_GATEWAY_API_KEY"),
    "wandb": Home("wandb", "https://api.inference.wandb.ai/v1", "WANDB_API_KEY"),
    "xai": Home("xai", "https://api.x.ai/v1", "XAI_API_KEY"),
}
"""Providers with an address that speaks OpenAI's dialect, which are no rows of ours."""

SERVERS = {
    "azure": "azure",
    "custom_openai": "",
    "docker_model_runner": "docker",
    "hosted_vllm": "vllm",
    "litellm_proxy": "litellm",
    "lm_studio": "lm-studio",
    "openai_like": "",
    "vllm": "vllm",
    "xinference": "xinference",
}
"""Kinds of servers that have no address but the one that is told, and what a row of theirs is called: after the host,
where nothing is said."""

UNSPOKEN = {
    "azure_ai": "Azure AI's own API",
    "azure_text": "plain completion",
    "bedrock": "Bedrock's API",
    "bedrock_converse": "Bedrock's API",
    "cloudflare": "Cloudflare's own API",
    "databricks": "Databricks' own API",
    "palm": "PaLM's API",
    "predibase": "Predibase's API",
    "replicate": "Replicate's API",
    "sagemaker": "SageMaker's API",
    "sagemaker_chat": "SageMaker's API",
    "snowflake": "Snowflake's API",
    "text-completion-openai": "plain completion",
    "triton": "Triton's API",
    "vertex_ai": "Vertex AI's API",
    "vertex_ai_beta": "Vertex AI's API",
    "watsonx": "watsonx's API",
}
"""What speaks another dialect."""

KNOWN = frozenset({*SHIPPED, *HOMES, *SERVERS, *UNSPOKEN})

GUESSES = (
    (r"(gpt|o\d|chatgpt)\b.*", "openai"),
    (r"claude\b.*", "anthropic"),
    (r"command\b.*", "cohere"),
    (r"deepseek-(chat|reasoner)", "deepseek"),
    (r"(mistral|codestral|ministral|magistral)\b.*", "mistral"),
    (r"gemini\b.*", "vertex_ai"),
)
"""Whose a model is that is written without its provider."""

_VERSIONED = frozenset({"hosted_vllm", "huggingface", "llamafile", "ollama", "ollama_chat", "vllm"})
"""Whose addresses are written with or without the /v1 that they have."""
_VERSION = re.compile(r".*/v\d+(beta)?(/.*)?")


def base_of(row: Row) -> str:
    """What stands before ``/chat/completions`` in the address of a shipped row."""
    return row.base_url + row.route.removesuffix("/chat/completions")


def house(provider: str) -> Home | None:
    """Where one of LiteLLM's providers lives if nothing else is said; None where that is not known."""
    if name := SHIPPED.get(provider):
        row = shipped()[name]
        return Home(name, base_of(row), row=row)
    return HOMES.get(provider)


def at(provider: str, address: str) -> Home:
    """Where one of LiteLLM's providers lives that has been given an address."""
    base = address.rstrip("/").removesuffix("/chat/completions")
    if provider == "azure":
        base = f"{base.partition('/openai')[0]}/openai/v1"
    elif provider == "anthropic":
        base = f"{base.removesuffix('/messages').removesuffix('/v1')}/v1"
    elif provider in _VERSIONED and not _VERSION.fullmatch(urlsplit(base).path):
        base = f"{base.removesuffix('/api')}/v1"
    for row in shipped().values():
        if base in (base_of(row), row.base_url):
            return Home(row.name, base_of(row), row=row)
    usual = house(provider)
    if usual and provider not in ("huggingface", "openai"):
        return usual._replace(base_url=base)
    for home in HOMES.values():
        if base == home.base_url:
            return home
    return Home(SERVERS.get(provider) or _called(base), base)


def _called(base: str) -> str:
    """What a server may be called, after its host."""
    host = urlsplit(base).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        labels = host.split(".")
        label = (
            labels[1] if len(labels) > 2 and labels[0] in ("api", "llm", "inference", "models", "www") else labels[0]
        )
        return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-").replace("localhost", "") or "server"
    return "server"

"""The words: what a chat is made of, on every floor above this one.

Field names are the wire's own (the page's schemas and OpenAI's), so that reading and writing them is msgspec's work
and not ours. Three fields of :class:`Chunk` never travel: ``raw``, ``meta`` and ``comment``.

Ranges stand beside the types; msgspec reports a breach with its path, which becomes an error's ``param``. The file is
long because its words are read together.
"""

from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal, Protocol

from msgspec import UNSET, Meta, Struct, UnsetType, field

# ---------------------------------------------------------------- messages


class Text(Struct, tag_field="type", tag="text"):
    """A piece of text inside a message."""

    text: str


class ImageUrl(Struct, omit_defaults=True):
    """Where an image is: an http(s) or a data: URL. ``detail`` is a hint that OpenAI's clients send."""

    url: str
    detail: str | None = None


class Image(Struct, tag_field="type", tag="image_url"):
    """An image inside a message."""

    image_url: ImageUrl


Part = Text | Image


class CallFunction(Struct, omit_defaults=True):
    """The function of a call. History may spell the arguments ``arguments`` (every client) or ``parameters`` (the
    page's schema), as a JSON string or as the object itself."""

    name: str
    arguments: str | dict[str, Any] | None = None
    parameters: Any = None
    description: str | None = None


class ToolCall(Struct, omit_defaults=True):
    """A call that the assistant made in an earlier turn."""

    function: CallFunction
    id: str | None = None
    type: str = "function"
    index: int | None = None


class Message(Struct, omit_defaults=True):
    """One turn. ``refusal``, ``audio``, ``annotations`` and ``function_call`` are accepted because SDKs send their own
    answers back whole."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    audio: Any = None
    annotations: Any = None
    function_call: Any = None


# ---------------------------------------------------------------- the request


class Function(Struct, omit_defaults=True):
    """A function that the model may call; ``parameters`` is a JSON Schema."""

    name: str
    description: str | None = None
    parameters: Any = None
    strict: bool | None = None


class Tool(Struct):
    """A tool on offer. Only ``function`` tools exist."""

    function: Function
    type: str = "function"


class StreamOptions(Struct, omit_defaults=True):
    """``include_usage`` asks for a last chunk that carries the usage and no choice."""

    include_usage: bool | None = None


HOP = "x-tertulia-hop"


class Caller(Struct, frozen=True):
    """Who asks, and under which request id it is logged. Set by the server, never read from a body.

    ``token`` is the id of the caller's token in the ledger, 0 where there is none. ``provider`` is one that the address
    named (``/together/v1/...``): it is not replaced. ``headers`` are those of the request that may travel on to a
    provider; ``bearer`` is the caller's own token, for a provider that is configured to be given it. ``hops`` are the
    servers like this one that it has come through, this one last, as the header ``HOP`` tells the next."""

    name: str = "local"
    request_id: str = ""
    token: int = 0
    provider: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    bearer: str = ""
    hops: str = ""


Penalty = Annotated[float, Meta(ge=-2, le=2)]
Bias = Annotated[float, Meta(ge=-100, le=100)]


class ChatRequest(Struct, kw_only=True, omit_defaults=True):
    """A request for a chat completion: the page's ``input.json``, OpenAI's additions, and the sampling fields that
    every engine has and neither names. ``None`` means "not said".

    Four fields never travel: ``extra`` keeps the body's unknown fields (they are passed on beside the known ones),
    ``warnings`` says what reading the body had to leave aside, ``caller`` is the server's, ``asked`` is our name for
    the model where ``model`` is a provider's."""

    messages: Annotated[list[Message], Meta(min_length=1)]
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    min_tokens: Annotated[int, Meta(ge=0)] | None = None
    n: Annotated[int, Meta(ge=1, le=16)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=-1)] | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Meta(ge=0.01, le=10)] | None = None
    logit_bias: dict[str, Bias] | list[float | None] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    stop_token_ids: Annotated[list[Annotated[int, Meta(ge=0)]], Meta(max_length=64)] | None = None
    ignore_eos: bool | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    response_format: dict[str, Any] | None = None
    structured_outputs: dict[str, Any] | None = None
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    tool_prompt: str | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    continue_final_message: bool | None = None
    add_generation_prompt: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    models: Annotated[list[str], Meta(max_length=16)] | None = None
    continue_: bool | None = field(default=None, name="continue")
    user: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    caller: Caller = field(default_factory=Caller)
    asked: str = ""


# ---------------------------------------------------------------- the answer


class TopLogprob(Struct):
    """One of the likeliest tokens at a position; ``logprob`` in nats, ``bytes`` the token's UTF-8."""

    token: str
    logprob: float
    bytes: list[int] | None = None


class Logprob(TopLogprob):
    """A token of the answer, with its rivals."""

    top_logprobs: list[TopLogprob] = field(default_factory=list)


class Logprobs(Struct):
    content: list[Logprob] | None = None
    refusal: list[Logprob] | None = None


class DeltaFunction(Struct):
    """``name`` stands in a call's first delta only; ``arguments`` is a piece of a JSON string."""

    name: str | UnsetType | None = UNSET
    arguments: str | UnsetType | None = UNSET


class DeltaCall(Struct):
    index: int
    id: str | UnsetType | None = UNSET
    type: str | UnsetType | None = UNSET
    function: DeltaFunction | UnsetType = UNSET


class Delta(Struct):
    """What a chunk adds to a choice. ``role`` in the first delta only, a string ``content`` in every text delta."""

    role: str | UnsetType | None = UNSET
    content: str | UnsetType | None = UNSET
    reasoning: str | UnsetType | None = UNSET
    reasoning_content: str | UnsetType | None = UNSET
    tool_calls: list[DeltaCall] | UnsetType | None = UNSET
    refusal: str | UnsetType | None = UNSET


class ChunkChoice(Struct):
    index: int
    delta: Delta
    finish_reason: str | None = None
    logprobs: Logprobs | UnsetType | None = UNSET


class PromptDetails(Struct, omit_defaults=False):
    cached_tokens: int | None = 0


class CompletionDetails(Struct):
    reasoning_tokens: int | None = 0


class Usage(Struct, omit_defaults=True):
    """Tokens spent on the whole request, over all its choices. ``cost`` is in US dollars, where prices are known;
    ``estimated`` says that the provider told no figures and these are ours."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    cost: float | None = None
    estimated: bool = False


class Attempt(Struct, omit_defaults=True):
    """What became of a candidate: ``served``, ``skipped`` or ``failed``, why, and how long it took."""

    provider: str
    model: str
    outcome: str
    why: str = ""
    seconds: float = 0.0


class ChunkMeta(Struct):
    """What a Backend says about an answer beside its text. It stands on the first chunk, and becomes headers. The
    ``warnings`` are ours; ``remarks`` are a provider's, which are told but are no reason to refuse. On a sign of life
    ``patience`` is for how many seconds nothing may come that is not late: its backend holds the clock. On the last
    chunk of an answer that is not streamed ``whole`` is all of it, in bytes that can go out as they are."""

    provider: str = "local"
    warnings: list[str] = field(default_factory=list)
    route: list[Attempt] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    patience: float = 0.0
    remarks: list[str] = field(default_factory=list)
    whole: bytes = b""


class Chunk(Struct, kw_only=True):
    """A piece of a streamed answer. A Backend's last chunk has no choice and carries the usage, always; whether the
    client sees it is the wire's business (``stream_options.include_usage``).

    A chunk with neither choice nor usage is a sign of life: the work goes on, there is only nothing to tell yet (a long
    prompt is being read, the answer lost its memory to others for a while). It may come at any time, and is for those
    who hold the clock; the client never sees it, but for its ``comment``, which goes out as one.

    ``raw`` is the JSON it was read from, if it was read: who changes a chunk sets it to None. ``meta`` stands on the
    first chunk, and on the last of an answer that came whole: who changes anything removes that. None of the three
    travels.
    """

    id: str
    object: str = "chat.completion.chunk"
    created: int
    model: str
    system_fingerprint: str | None = None
    choices: list[ChunkChoice]
    usage: Usage | UnsetType | None = UNSET
    raw: bytes | UnsetType = UNSET
    meta: ChunkMeta | UnsetType = UNSET
    comment: str | UnsetType = UNSET

    @property
    def sign_of_life(self) -> bool:
        return not self.choices and self.usage is UNSET


class AnswerFunction(Struct):
    name: str
    arguments: str


class AnswerCall(Struct):
    id: str
    function: AnswerFunction
    type: str = "function"


class Answer(Struct):
    """The message of a whole choice. ``content`` is null only beside tool calls."""

    role: str = "assistant"
    content: str | None = None
    refusal: str | None = None
    reasoning: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[AnswerCall] | UnsetType = UNSET


class Choice(Struct):
    index: int
    message: Answer
    finish_reason: str
    logprobs: Logprobs | None = None


class Completion(Struct, kw_only=True):
    """A whole answer: the fold of a stream of chunks."""

    id: str
    object: str = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[Choice]
    usage: Usage


class Pricing(Struct):
    """US dollars per million tokens."""

    input: float
    output: float


class ProviderCard(Struct, kw_only=True, omit_defaults=True):
    """A provider of a model, as ``/v1/models`` tells it in the shape of Hugging Face's router. ``status`` is ``live``,
    ``error``, or ``no key``, and ``why`` says what is wrong. Latency and throughput (tokens a second) are measured on
    our own traffic; ``probed`` is when each capability was last tried, in Unix seconds."""

    provider: str
    status: str = "live"
    context_length: int | None = None
    pricing: Pricing | None = None
    supports_tools: bool | None = None
    supports_structured_output: bool | None = None
    first_token_latency_ms: float | None = None
    throughput: float | None = None
    is_model_author: bool | None = None
    capabilities: dict[str, bool] = field(default_factory=dict)
    probed: dict[str, int] = field(default_factory=dict)
    why: str = ""


class Architecture(Struct):
    input_modalities: list[str]
    output_modalities: list[str]


class ModelCard(Struct, kw_only=True, omit_defaults=True):
    """A model that can be asked, as ``/v1/models`` tells it. ``bytes`` are those of its weights here."""

    id: str
    created: int
    owned_by: str
    object: Annotated[str, Meta()] = field(default="model")
    status: str = ""
    context_length: int = 0
    description: str = ""
    aliases: list[str] = field(default_factory=list)
    architecture: Architecture | None = None
    providers: list[ProviderCard] | None = None
    bytes: int = 0


class Entry(Struct, kw_only=True, omit_defaults=True):
    """A model that there is, whoever serves it or nobody, as ``/api/catalog`` tells it. ``status`` is that of this
    machine, "" where it is not installed; ``bytes`` are those of its weights here, ``fetch`` those that
    ``tertulia pull`` brings (``about``: reckoned from its parameters at 16 bits), 0 where that is not known; ``runs``
    says that the engine is built for its family. ``trending`` is its rank on the Hub from 1 on, ``released`` the month
    or day since which there is it. ``catalog`` is set for what Tertulia knows by itself, ``shipped`` where its weights
    come with Tertulia."""

    id: str
    catalog: bool = False
    shipped: bool = False
    recommended: bool = False
    default: bool = False
    description: str = ""
    licence: str = ""
    aliases: list[str] = field(default_factory=list)
    input: list[str] = field(default_factory=list)
    output: list[str] = field(default_factory=list)
    context_length: int = 0
    parameters: int = 0
    released: str = ""
    trending: int = 0
    status: str = ""
    bytes: int = 0
    runs: bool = False
    fetch: int = 0
    about: bool = False
    providers: list[ProviderCard] = field(default_factory=list)


class Spent(Struct, kw_only=True):
    """One entry of the usage log: a part of a request that one provider answered, or tried to. ``cost`` is in
    millionths of a US dollar; ``outcome`` is ``ok``, ``cancelled``, ``failed_over``, ``continued``, or the code of the
    error that it ended in. Tokens that the provider did not tell are counted here and ``estimated``."""

    request_id: str
    token: int
    caller: str
    model: str
    provider: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: int = 0
    estimated: bool = False
    outcome: str = "ok"
    seconds: float = 0.0


class Backend(Protocol):
    """Whatever answers a chat: the engine, a provider, the router, and each layer around one of them."""

    def chat(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Answer ``request`` chunk by chunk. Who calls closes the generator; closing it early stops the work.

        Raises a :class:`tertulia.errors.TertuliaError`, before the first chunk or after it.
        """
        ...

    async def count(self, request: ChatRequest) -> int:
        """The number of prompt tokens that ``request`` comes to, without answering it."""
        ...

    def models(self) -> list[ModelCard]:
        """What can be asked for here."""
        ...

    def supports(self, request: ChatRequest) -> list[str]:
        """The fields of ``request`` that this backend can't honour; empty when it can honour all."""
        ...

"""A whole answer that is in OpenAI's exact shape as it came: read once, to know that it is, and passed on. Pure."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct

from tertulia.types import Chunk, ChunkChoice, ChunkMeta, Delta, Logprobs, Usage

_Name = Annotated[str, Meta(min_length=1)]


class _Message(Struct, forbid_unknown_fields=True):
    """Text alone: calls and thoughts have to be looked at."""

    role: Literal["assistant"]
    content: str
    refusal: None
    annotations: list[Any] = []


class _Choice(Struct, forbid_unknown_fields=True):
    index: int
    message: _Message
    finish_reason: Literal["stop", "length", "content_filter"]
    logprobs: Logprobs | None


class _Answer(Struct, forbid_unknown_fields=True):
    """What is not named here is not passed on unseen."""

    id: _Name
    object: Literal["chat.completion"]
    created: Annotated[int, Meta(ge=1)]
    model: _Name
    system_fingerprint: _Name
    choices: Annotated[list[_Choice], Meta(min_length=1)]
    usage: Usage
    service_tier: str | None = None


_answers = msgspec.json.Decoder(_Answer)


def read(body: bytes, model: str, most: int) -> tuple[list[Chunk], str] | None:
    """The chunks of ``body``, the last of which has its bytes, and the name in it of the model, which is to be called
    ``model``; None where it is not exact or has more than ``most`` choices. Its usage may still be wrong."""
    try:
        body.decode()  # also where msgspec doesn't look: in the usage there may be more than it has a name for
        answer = _answers.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    choices = [
        ChunkChoice(
            index=choice.index,
            delta=Delta(role="assistant", content=choice.message.content),
            finish_reason=choice.finish_reason,
            logprobs=UNSET if choice.logprobs is None else choice.logprobs,
        )
        for choice in answer.choices
    ]
    if len(choices) > most or any(choice.index != place for place, choice in enumerate(choices)):
        return None

    def chunk(choices: list[ChunkChoice]) -> Chunk:
        return Chunk(
            id=answer.id,
            created=answer.created,
            model=model or answer.model,
            system_fingerprint=answer.system_fingerprint,
            choices=choices,
        )

    last = chunk([])
    last.usage, last.meta = answer.usage, ChunkMeta(whole=body)
    return [chunk(choices), last], answer.model

"""Chunks to a whole answer, and back. Pure."""

from collections.abc import Iterable, Iterator

from msgspec import UNSET

from tertulia.errors import Upstream
from tertulia.types import (
    Answer,
    AnswerCall,
    AnswerFunction,
    Choice,
    Chunk,
    ChunkChoice,
    Completion,
    Delta,
    DeltaCall,
    DeltaFunction,
    Logprobs,
    Usage,
)


def fold(chunks: Iterable[Chunk]) -> Completion:
    """The whole answer that ``chunks`` are the pieces of."""
    whole = Fold()
    for chunk in chunks:
        whole.add(chunk)
    return whole.completion()


class Fold:
    """Collects chunks; :meth:`completion` is what they come to."""

    def __init__(self) -> None:
        self._first: Chunk | None = None
        self._fingerprint: str | None = None
        self._usage: Usage | None = None
        self._choices: dict[int, _Choice] = {}

    def add(self, chunk: Chunk) -> None:
        if chunk.sign_of_life:
            return
        if self._first is None:
            self._first = chunk
        if self._fingerprint is None:
            self._fingerprint = chunk.system_fingerprint
        if chunk.usage:
            self._usage = chunk.usage
        for piece in chunk.choices:
            choice = self._choices.get(piece.index)
            if choice is None:
                choice = self._choices[piece.index] = _Choice()
            choice.add(piece)

    def completion(self) -> Completion:
        """The whole answer. Raises Upstream if it is not whole: nothing came, or a choice or the usage never ended."""
        if self._first is None:
            raise Upstream("the backend ended its answer before it began")
        if self._usage is None:
            raise Upstream("the backend ended its answer without its usage")
        return Completion(
            id=self._first.id,
            created=self._first.created,
            model=self._first.model,
            system_fingerprint=self._fingerprint or "",
            choices=[choice.whole(index) for index, choice in sorted(self._choices.items())],
            usage=self._usage,
        )


class _Choice:
    """One choice on its way to being whole."""

    def __init__(self) -> None:
        self._content: list[str] = []
        self._texts: dict[str, list[str]] = {}
        self._calls: dict[int, _Call] = {}
        self._logprobs: Logprobs | None = None
        self._finish: str | None = None

    def add(self, piece: ChunkChoice) -> None:
        delta = piece.delta
        if delta.content:
            self._content.append(delta.content)
        if isinstance(delta.reasoning, str):
            self._texts.setdefault("reasoning", []).append(delta.reasoning)
        if isinstance(delta.reasoning_content, str):
            self._texts.setdefault("reasoning_content", []).append(delta.reasoning_content)
        if isinstance(delta.refusal, str):
            self._texts.setdefault("refusal", []).append(delta.refusal)
        if delta.tool_calls:
            for call in delta.tool_calls:
                self._calls.setdefault(call.index, _Call()).add(call)
        if piece.logprobs:
            self._join(piece.logprobs)
        if piece.finish_reason:
            self._finish = piece.finish_reason

    def _join(self, logprobs: Logprobs) -> None:
        if self._logprobs is None:
            self._logprobs = Logprobs()
        if logprobs.content is not None:
            self._logprobs.content = self._logprobs.content or []
            self._logprobs.content += logprobs.content
        if logprobs.refusal is not None:
            self._logprobs.refusal = self._logprobs.refusal or []
            self._logprobs.refusal += logprobs.refusal

    def whole(self, index: int) -> Choice:
        if self._finish is None:
            raise Upstream(f"the backend ended its answer without a finish_reason for choice {index}")
        content = "".join(self._content)
        answer = Answer(content=content if content or not self._calls else None)
        for name, pieces in self._texts.items():
            setattr(answer, name, "".join(pieces))
        if self._calls:
            answer.tool_calls = [call.whole() for _, call in sorted(self._calls.items())]
        return Choice(index=index, message=answer, finish_reason=self._finish, logprobs=self._logprobs)


class _Call:
    """One tool call on its way to being whole."""

    def __init__(self) -> None:
        self._id = ""
        self._type = "function"
        self._name = ""
        self._arguments: list[str] = []

    def add(self, call: DeltaCall) -> None:
        self._id = self._id or call.id or ""
        self._type = call.type or self._type
        if call.function:
            self._name = self._name or call.function.name or ""
            if call.function.arguments:
                self._arguments.append(call.function.arguments)

    def whole(self) -> AnswerCall:
        return AnswerCall(
            id=self._id, type=self._type, function=AnswerFunction(name=self._name, arguments="".join(self._arguments))
        )


def split(completion: Completion) -> Iterator[Chunk]:
    """Chunks that fold to ``completion``: for each choice its text, its calls and its end; then the usage."""

    def chunk(*choices: ChunkChoice) -> Chunk:
        return Chunk(
            id=completion.id,
            created=completion.created,
            model=completion.model,
            system_fingerprint=completion.system_fingerprint,
            choices=list(choices),
        )

    for choice in completion.choices:
        message = choice.message
        delta = Delta(
            role=message.role,
            content=message.content or "",
            reasoning=message.reasoning,
            reasoning_content=message.reasoning_content,
            refusal=UNSET if message.refusal is None else message.refusal,
        )
        yield chunk(
            ChunkChoice(index=choice.index, delta=delta, logprobs=UNSET if choice.logprobs is None else choice.logprobs)
        )
        for index, call in enumerate(message.tool_calls or ()):
            function = DeltaFunction(name=call.function.name, arguments=call.function.arguments)
            delta = Delta(tool_calls=[DeltaCall(index=index, id=call.id, type=call.type, function=function)])
            yield chunk(ChunkChoice(index=choice.index, delta=delta))
        yield chunk(ChunkChoice(index=choice.index, delta=Delta(content=""), finish_reason=choice.finish_reason))
    last = chunk()
    last.usage = completion.usage
    yield last

"""One dialect out, whatever a provider sends: events and whole answers, as chunks in OpenAI's exact shape. Pure.

What is in that shape already keeps its bytes. What can be put right is; what can't be read is dropped and counted.
"""

import logging
import os
import time
from collections.abc import Sequence

import msgspec
from msgspec import UNSET, structs

from tertulia.errors import Upstream
from tertulia.fold import split
from tertulia.providers import exact, mend
from tertulia.providers.calls import Calls
from tertulia.types import Chunk, ChunkChoice, Completion, Delta, Message, Text, Usage
from tertulia.wires import faults

log = logging.getLogger("tertulia.providers")
_chunks = msgspec.json.Decoder(Chunk)
_completions = msgspec.json.Decoder(Completion)
_encode = msgspec.json.Encoder().encode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
CHARACTERS = 4
"""Characters of a token, on average, where a provider tells no figures."""
CHOICES = 128
"""Choices that an answer may have where nobody said how many it shall have."""
_FINISH = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "max_tokens": "length",
    "model_length": "length",
    "max_output_tokens": "length",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "tool_call": "tool_calls",
    "safety": "content_filter",
    "refusal": "content_filter",
}


def finish_of(reason: str) -> str:
    """OpenAI's word for why an answer ended; ``stop`` for all that it has no word for (eos, end_turn, ...)."""
    return _FINISH.get(reason) or _FINISH.get(reason.lower(), "stop")


class Cleaner:
    """Reads one answer of ``provider``. ``model`` is what the caller calls the model; the provider's name for it where
    that is empty. ``messages`` are what was asked, for an estimate where no usage is told; ``fresh`` is an id and
    ``now`` a time (Unix seconds) for an answer that has none. Choices beyond the ``n`` that were asked for are left
    out.

    ``dropped`` counts the events that could not be read, ``said`` the characters of the answer so far; ``finished`` is
    whether every choice so far is whole."""

    def __init__(
        self,
        provider: str,
        model: str = "",
        *,
        messages: Sequence[Message] = (),
        n: int | None = None,
        fresh: str = "",
        now: int = 0,
    ) -> None:
        self.dropped = 0
        self.said = 0
        self.finished = False
        self._provider = provider
        self._model = model
        self._messages = messages
        self._fresh = fresh
        self._now = now
        self._id = self._fingerprint = ""
        self._created = 0
        self._head: tuple[str, str, str | None] | None = None
        self._swaps: list[tuple[bytes, bytes]] | None = []
        self._choices: dict[int, _Choice] = {}
        self._most = n or CHOICES
        self._unfinished = 0  # choices that have begun and not ended
        self._usage: Chunk | None = None
        self._complaint: Upstream | None = None

    def read(self, data: bytes) -> list[Chunk]:
        """The chunks that an event's data comes to, one as a rule. Raises the error that the event tells."""
        try:
            chunk = _chunks.decode(data)
        except _UNREADABLE:
            return self._odd(data)
        choices = chunk.choices
        if len(choices) == 1:
            choice = choices[0]
            delta = choice.delta
            content = delta.content
            if (  # text and nothing else, in the exact shape: nearly every event
                content
                and not chunk.usage
                and choice.finish_reason is None
                and delta.role is UNSET
                and delta.tool_calls is UNSET
                and (delta.reasoning is UNSET or delta.reasoning is None)
                and (delta.reasoning_content is UNSET or delta.reasoning_content is None)
                and (state := self._choices.get(choice.index)) is not None
                and state.open
            ):
                self.said += len(content)
                self._own(chunk, data)
                return [chunk]
        if b'"error"' in data or b'"function_call"' in data or not (choices or chunk.usage) or _bare(choices):
            return self._odd(data)
        return self._settle(chunk, data)

    def end(self, done: bool) -> list[Chunk]:
        """The chunks that are still to come when the stream has ended, ``done`` if it said so: the usage, always.

        Raises Upstream for an answer that was cut off: none has begun, or a choice gave no reason to end and the stream
        was not said to be done."""
        if self.dropped:
            log.warning("%s: %d events could not be read and were left out", self._provider, self.dropped)
        if not self._choices:
            raise self._complaint or Upstream(f"{self._provider} ended its stream before its answer began")
        open_ones = {index: state for index, state in self._choices.items() if state.finish is None}
        if open_ones and not done:
            raise Upstream(f"{self._provider} ended its stream before its answer was whole")
        chunks = [self._chunk(state.close(index)) for index, state in open_ones.items()]
        last = self._usage or self._chunk()
        if not last.usage or _lacking(last.usage):
            last.usage, last.raw = self._estimate(last.usage or _NOTHING), UNSET
        return [*chunks, last]

    def whole(self, body: bytes, *, gathered: bool = False) -> list[Chunk]:
        """The chunks that a whole answer comes to. Raises the error that it tells, Upstream if it is no answer.

        ``gathered`` says that they will be put together: there are fewer then of an answer that can pass as it is."""
        if gathered and (chunks := self._exact(body)):
            return chunks
        try:
            completion = None if b'"error"' in body else _completions.decode(body)
        except _UNREADABLE:
            completion = None
        if completion is None:
            fields = mend.read(body)
            if fields is not None:
                if error := faults.in_band(self._provider, fields):
                    raise error
                completion = mend.completion(fields)
        if completion is None or not completion.choices:
            raise faults.not_chat(self._provider, mend.kind(body))
        chunks = [chunk for piece in split(completion) for chunk in self._settle(piece, None)]
        return chunks + self.end(done=True)

    def _exact(self, body: bytes) -> list[Chunk] | None:
        """The chunks of an answer in which nothing but the model's name is to be changed; None if it is no such."""
        found = exact.read(body, self._model, self._most)
        if found is None:
            return None
        chunks, theirs = found
        last = chunks[-1]
        if not last.usage or not last.meta or mend.sane(last.usage) is not last.usage or _lacking(last.usage):
            return None
        if theirs != last.model:
            swap = _swap(body, b"model", theirs, last.model)
            if swap is None:
                return None
            last.meta.whole = body.replace(*swap)
        return chunks

    # ---------------------------------------------------------------- one event

    def _odd(self, data: bytes) -> list[Chunk]:
        """What can be made of an event that is not as it should be."""
        fields = mend.read(data)
        if fields is None and b"\n" in data:  # events without a blank line between them
            return [chunk for line in data.split(b"\n") if line.strip() != b"[DONE]" for chunk in self.read(line)]
        if fields is not None:
            if error := faults.in_band(self._provider, fields):
                raise error
            if chunk := mend.chunk(fields):
                return self._settle(chunk, None)
        if data.strip():
            self.dropped += 1
            self._complaint = self._complaint or faults.not_chat(self._provider, mend.kind(data))
        return []

    def _settle(self, chunk: Chunk, data: bytes | None) -> list[Chunk]:
        """``chunk`` with all put right that is not OpenAI's shape. ``data`` are its bytes, unless it was mended."""
        self._id = self._id or chunk.id or self._fresh or f"chatcmpl-{os.urandom(12).hex()}"
        kept: list[ChunkChoice] = []
        for choice in chunk.choices:
            if not 0 <= choice.index < self._most:
                data = None
                continue
            state = self._choices.get(choice.index)
            if state is None:
                state = self._choices[choice.index] = _Choice(f"{self._id[-12:]}{choice.index or ''}")
                self._unfinished += 1
            going = state.finish is None
            keep, changed = state.settle(choice)
            self._unfinished -= going and state.finish is not None
            if keep:
                self.said += _length(choice.delta)
                kept.append(choice)
            if changed or not keep:
                data = None
        usage = chunk.usage
        if usage and (told := mend.sane(usage)) is not usage:
            chunk.usage, usage, data = told, told, None
        if usage and kept:  # it stands alone, at the end
            chunk.usage, data = UNSET, None
        self._own(chunk, data)
        if usage:
            self._usage = self._chunk() if kept else chunk
            self._usage.usage = usage
        chunk.choices = kept
        self.finished = bool(self._choices) and not self._unfinished
        return [chunk] if kept else []

    def _own(self, chunk: Chunk, data: bytes | None) -> None:
        """Give ``chunk`` our head, and its bytes where they can be kept."""
        head = (chunk.id, chunk.model, chunk.system_fingerprint)
        if head != self._head and (data is not None or not self._fingerprint):
            self._learn(head, chunk.created, data)
        chunk.id, chunk.model, chunk.system_fingerprint = self._id, self._model, self._fingerprint
        chunk.raw = chunk.meta = chunk.comment = UNSET
        swaps = self._swaps
        if data is None or swaps is None or chunk.created <= 0 or b"\n" in data or b"\r" in data:
            chunk.object = "chat.completion.chunk"
            if chunk.created <= 0:
                chunk.created = self._created
            return
        if swaps:
            for old, new in swaps:
                if old not in data or (old == b"{" and _FINGERPRINT in data):
                    return
                data = data.replace(old, new, 1)
        chunk.raw = data

    def _learn(self, head: tuple[str, str, str | None], created: int, data: bytes | None) -> None:
        """From here on the events have this head: what has to be swapped in their bytes to make it ours."""
        theirs, model, fingerprint = head
        self._id = self._id or theirs or self._fresh or f"chatcmpl-{os.urandom(12).hex()}"
        self._model = self._model or model or self._provider
        self._fingerprint = self._fingerprint or fingerprint or f"fp_{self._provider}"
        self._created = self._created or (created if created > 0 else self._now or int(time.time()))
        if data is None:  # nothing can be learnt from what was mended
            return
        self._head = head
        swaps = [
            _swap(data, name, given, ours)
            for name, given, ours in (
                (b"id", theirs, self._id),
                (b"model", model, self._model),
                (b"system_fingerprint", fingerprint, self._fingerprint),
            )
            if given != ours
        ]
        named = all(swaps) and b'"chat.completion.chunk"' in data
        self._swaps = [swap for swap in swaps if swap] if named else None

    # ---------------------------------------------------------------- our own

    def _chunk(self, *choices: ChunkChoice) -> Chunk:
        return Chunk(
            id=self._id,
            created=self._created,
            model=self._model,
            system_fingerprint=self._fingerprint,
            choices=list(choices),
        )

    def _estimate(self, told: Usage) -> Usage:
        """The usage, with a guess at what was not ``told``."""
        prompt, said = told.prompt_tokens, told.completion_tokens
        if told is _NOTHING or not (prompt or said) or prompt < 0:
            prompt = -(-sum(map(_characters, self._messages)) // CHARACTERS)
        if told is _NOTHING or said <= 0:
            said = -(-self.said // CHARACTERS)
        return structs.replace(
            told, prompt_tokens=prompt, completion_tokens=said, total_tokens=prompt + said, estimated=True
        )


_NOTHING = Usage(mend.UNKNOWN, mend.UNKNOWN, mend.UNKNOWN)
_FINGERPRINT = b'"system_fingerprint"'


def _lacking(usage: Usage) -> bool:
    """Whether figures are missing; zeros all over are a place kept for figures that never came."""
    return min(usage.prompt_tokens, usage.completion_tokens) < 0 or not (usage.prompt_tokens or usage.completion_tokens)


def _bare(choices: list[ChunkChoice]) -> bool:
    """Whether a call stands there without the function around its name and arguments."""
    return any(call.function is UNSET for choice in choices for call in choice.delta.tool_calls or ())


def _characters(message: Message) -> int:
    content = message.content
    if isinstance(content, list):
        return sum(len(part.text) for part in content if isinstance(part, Text))
    return len(content or "")


def _length(delta: Delta) -> int:
    calls = delta.tool_calls or ()
    called = sum(len(call.function.name or "") + len(call.function.arguments or "") for call in calls if call.function)
    return len(delta.content or "") + len(delta.reasoning_content or "") + len(delta.refusal or "") + called


def _swap(data: bytes, name: bytes, given: str | None, ours: str) -> tuple[bytes, bytes] | None:
    """What to put in place of what in an event, so that a field is ours; None if that can't be done by its bytes.

    A quote inside of a string is never without a backslash before it: what is found is the field."""
    for colon in (b":", b": "):
        field = b'"%b"%b' % (name, colon)
        old = field + _encode(given)
        if data.count(old) == 1:
            return old, field + _encode(ours)
    if given is None and _FINGERPRINT not in data and data.startswith(b"{"):
        return b"{", b"{%b:%b," % (_FINGERPRINT, _encode(ours))
    return None


class _Choice:
    """How far one choice has come. It is ``open`` when its first delta has gone out and its last has not."""

    __slots__ = ("calls", "finish", "open")

    def __init__(self, stem: str) -> None:
        self.open = False
        self.finish: str | None = None
        self.calls = Calls(stem)

    def settle(self, choice: ChunkChoice) -> tuple[bool, bool]:
        """Put ``choice`` right. Whether there is anything in it to tell, and whether it was changed."""
        delta = choice.delta
        asked, begun = bool(delta.tool_calls), self.open or self.finish is not None
        changed = self._call(delta)
        changed = _think(delta) or changed
        says = bool(delta.content or delta.tool_calls or delta.reasoning or delta.refusal)
        if not says and (self.finish is not None or (asked and not choice.finish_reason)):
            return False, True
        changed = self._finish(choice) or changed
        if delta.tool_calls:
            if delta.content is not UNSET and not delta.content:
                delta.content, changed = UNSET, True
        elif not isinstance(delta.content, str):
            delta.content, changed = "", True
        role = UNSET if begun else "assistant"
        if delta.role != role:
            delta.role, changed = role, True
        self.open = self.finish is None
        return True, changed

    def close(self, index: int) -> ChunkChoice:
        """The end of a choice whose provider gave no reason for it."""
        choice = ChunkChoice(index=index, delta=Delta(), finish_reason="stop")
        self.settle(choice)
        return choice

    def _call(self, delta: Delta) -> bool:
        if delta.tool_calls is UNSET:
            return False
        calls, changed = self.calls.settle(delta.tool_calls or [])
        delta.tool_calls = calls or UNSET
        return changed or not calls

    def _finish(self, choice: ChunkChoice) -> bool:
        given = choice.finish_reason
        if not given or self.finish is not None:
            choice.finish_reason = None
            return given is not None
        found = finish_of(given)
        if found == "stop" and self.calls:
            found = "tool_calls"
        choice.finish_reason = self.finish = found
        return found != given


def _think(delta: Delta) -> bool:
    """Say a thought by both of its names. Whether that changed anything."""
    one, other = delta.reasoning, delta.reasoning_content
    if one and other:
        return False
    thought = one or other or UNSET
    if thought is UNSET and not (isinstance(one, str) or isinstance(other, str)):
        return False
    delta.reasoning = delta.reasoning_content = thought
    return True

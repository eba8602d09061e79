"""A stream of chunks and a whole answer are the same thing told in two ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tertulia.errors import Upstream
from tertulia.fold import fold, split
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
    Logprob,
    Logprobs,
    TopLogprob,
    Usage,
)

USAGE = Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)


def chunk(*choices: ChunkChoice, usage: Usage | None = None) -> Chunk:
    made = Chunk(id="c", created=1, model="m", system_fingerprint="f", choices=list(choices))
    if usage:
        made.usage = usage
    return made


def said(text: str, index: int = 0, finish: str | None = None) -> Chunk:
    return chunk(ChunkChoice(index=index, delta=Delta(content=text), finish_reason=finish))


def calls(*deltas: DeltaCall, finish: str | None = None) -> Chunk:
    return chunk(ChunkChoice(index=0, delta=Delta(tool_calls=list(deltas)), finish_reason=finish))


words = st.text(max_size=8)
top = st.builds(TopLogprob, token=words, logprob=st.floats(-50, 0), bytes=st.none() | st.lists(st.integers(0, 255)))
logprob = st.builds(
    Logprob,
    token=words,
    logprob=st.floats(-50, 0),
    bytes=st.none() | st.lists(st.integers(0, 255)),
    top_logprobs=st.lists(top, max_size=2),
)
call = st.builds(
    AnswerCall, id=words.filter(bool), function=st.builds(AnswerFunction, name=words.filter(bool), arguments=words)
)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    answer = Answer(content=draw(words), refusal=draw(st.none() | words))
    for name in ("reasoning", "reasoning_content"):
        if (thought := draw(st.none() | words)) is not None:
            setattr(answer, name, thought)
    if found := draw(st.lists(call, max_size=3)):
        answer.tool_calls = found
        answer.content = answer.content or None
    return answer


@st.composite
def completions(draw: st.DrawFn) -> Completion:
    choices = [
        Choice(
            index=index,
            message=draw(answers()),
            finish_reason=draw(st.sampled_from(["stop", "length", "tool_calls"])),
            logprobs=draw(st.none() | st.builds(Logprobs, content=st.lists(logprob, max_size=2))),
        )
        for index in range(draw(st.integers(1, 3)))
    ]
    return Completion(id="c", created=1, model="m", system_fingerprint="f", choices=choices, usage=USAGE)


@given(completions())
def test_folding_the_pieces_of_an_answer_gives_the_answer(completion: Completion):
    assert fold(split(completion)) == completion


@given(completions())
def test_pieces_spell_the_role_once_and_text_always(completion: Completion):
    for index in range(len(completion.choices)):
        deltas = [c.delta for piece in split(completion) for c in piece.choices if c.index == index]
        assert [bool(delta.role) for delta in deltas] == [True] + [False] * (len(deltas) - 1)
        assert all(isinstance(delta.content, str) or delta.tool_calls for delta in deltas)


def test_choices_that_arrive_interleaved_are_told_apart():
    whole = fold([said("a", 1), said("x", 0), said("b", 1, "stop"), said("y", 0, "length"), chunk(usage=USAGE)])
    assert [(c.index, c.message.content, c.finish_reason) for c in whole.choices] == [
        (0, "xy", "length"),
        (1, "ab", "stop"),
    ]


def test_an_answer_without_text_is_the_empty_string_not_null():
    assert fold([said("", finish="stop"), chunk(usage=USAGE)]).choices[0].message.content == ""


def test_tool_calls_are_put_together_by_index_and_their_text_is_null():
    first = DeltaCall(index=0, id="1", type="function", function=DeltaFunction(name="f", arguments=""))
    other = DeltaCall(index=1, id="2", type="function", function=DeltaFunction(name="g", arguments="{}"))
    pieces = [
        calls(first),
        calls(DeltaCall(index=0, function=DeltaFunction(arguments='{"a"'))),
        calls(other),
        calls(DeltaCall(index=0, function=DeltaFunction(arguments=": 1}")), finish="tool_calls"),
        chunk(usage=USAGE),
    ]
    message = fold(pieces).choices[0].message
    assert message.content is None
    assert message.tool_calls == [
        AnswerCall(id="1", function=AnswerFunction(name="f", arguments='{"a": 1}')),
        AnswerCall(id="2", function=AnswerFunction(name="g", arguments="{}")),
    ]


def test_a_name_that_is_repeated_in_each_delta_is_not_repeated_in_the_answer():
    delta = DeltaCall(index=0, id="1", type="function", function=DeltaFunction(name="f", arguments="x"))
    message = fold([calls(delta), calls(delta, finish="tool_calls"), chunk(usage=USAGE)]).choices[0].message
    assert message.tool_calls == [AnswerCall(id="1", function=AnswerFunction(name="f", arguments="xx"))]


def test_folding_leaves_the_chunks_as_they_were():
    piece = chunk(ChunkChoice(index=0, delta=Delta(content="a"), logprobs=Logprobs(content=[Logprob("a", -1.0)])))
    fold([piece, said("b", finish="stop"), chunk(usage=USAGE)])
    fold([piece, piece, said("b", finish="stop"), chunk(usage=USAGE)])
    assert piece.choices[0].logprobs == Logprobs(content=[Logprob("a", -1.0)])


@pytest.mark.parametrize(
    ("pieces", "what"),
    [
        ([], "before it began"),
        ([said("a"), chunk(usage=USAGE)], "without a finish_reason for choice 0"),
        ([said("a", finish="stop")], "without its usage"),
    ],
    ids=["nothing", "no finish", "no usage"],
)
def test_half_an_answer_is_an_error_and_not_a_shorter_answer(pieces: list[Chunk], what: str):
    with pytest.raises(Upstream, match=what):
        fold(pieces)

"""Chat templates as models bring them: other people's text, read from a folder beside the checkout where it is.

Whatever is asked, the model must be told all of it. A template that refuses does so for a reason that stands here.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tertulia.engine.template import Prompt, Template
from tertulia.errors import TemplateRefused
from tertulia.types import CallFunction, ChatRequest, Function, Message, Tool, ToolCall

SHARED = Path(__file__).parents[2].parent / "shared" / "templates"
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}


def shipped(*names: str) -> list[Any]:
    if not SHARED.is_dir():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"{SHARED} is not here"), id="none")]
    paths = [SHARED / f"{name}.jinja" for name in names] or sorted(SHARED.glob("*.jinja"))
    return [pytest.param(path, id=path.stem) for path in paths]


@cache
def load(path: Path, care: bool = True) -> Template:
    return Template(path.read_text(encoding="utf-8"), SPECIAL, care=care)


def render(path: Path, messages: list[Message], care: bool = True, **fields: Any) -> Prompt:
    return load(path, care).render(ChatRequest(messages=messages, **fields))


NEED_TOOLS = {
    "CohereForAI-c4ai-command-r-plus-tool_use",
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
    "fireworks-ai-llama-3-firefunction-v2",
}
"""Written for requests with tools only: transformers fails with them as we do."""
OWN_VARIABLES = {"fireworks-ai-llama-3-firefunction-v2"}
"""Wants ``functions`` and ``datetime`` as texts, which ``chat_template_kwargs`` can say."""
NO_TOOLS = {
    "HuggingFaceTB-SmolLM3-3B",
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
    "deepseek-ai-DeepSeek-V3.1",
    "fireworks-ai-llama-3-firefunction-v2",
    "google-gemma-2-2b-it",
    "llama-cpp-rwkv-world",
    "microsoft-Phi-3.5-mini-instruct",
}
"""List no tools: the system message does."""

# ---------------------------------------------------------------- what is asked


def tool(name: str, description: str | None, **properties: Any) -> Tool:
    return Tool(Function(name, description, {"type": "object", "properties": properties} if properties else None))


TOOLS = [
    tool("tempo_qz", "Diz o tempo; não adivinha", onde={"type": "string"}, dias={"type": "integer"}),
    tool("hora_qz", "As horas, em português", onde={"type": "string", "description": "Um sítio"}),
]
LISTED = ["tempo_qz", "Diz o tempo; não adivinha", "hora_qz", "As horas, em português", "Um sítio"]
SYSTEM, USER, MORE = Message("system", "Sê breve, ó modelo."), Message("user", "Então?"), Message("user", "E amanhã?")
ANSWER = Message("assistant", "São 23 graus.")
CALLS = [
    ToolCall(CallFunction("tempo_qz", arguments='{"onde": "Évora ☀", "dias": 3}'), id="call_abc_1"),
    ToolCall(CallFunction("hora_qz", arguments='{"onde": "São Tomé"}'), id="call_abc_2"),
]
RESULTS = [
    Message("tool", "graus: vinte e três ✓", tool_call_id="call_abc_1"),
    Message("tool", "meio-dia, já", tool_call_id="call_abc_2"),
]
CALLED = ["tempo_qz", "Évora ☀", "3", "hora_qz", "São Tomé", "graus: vinte e três ✓", "meio-dia, já"]
ASK = Message("assistant", None, tool_calls=CALLS)
ROUND = [USER, ASK, *RESULTS]


def told(prompt: Prompt, *texts: str | None) -> bool:
    """Whether the model is told all this, be it as JSON."""
    return all(text in prompt.text or json.dumps(text)[1:-1] in prompt.text for text in texts if text)


# ---------------------------------------------------------------- every one of them


@pytest.mark.parametrize("path", shipped())
def test_a_plain_chat_is_rendered_without_a_warning(path: Path) -> None:
    chat = [SYSTEM, USER, ANSWER, MORE]
    if path.stem in NEED_TOOLS:
        with pytest.raises(TemplateRefused):
            render(path, chat)
        return
    prompt = render(path, chat)
    assert told(prompt, *(str(message.content) for message in chat))
    assert prompt.text.index("Então?") < prompt.text.index("E amanhã?")
    folded = ["the system message was folded into the first user message"] if "gemma-2" in path.stem else []
    assert [warning.partition(":")[0] for warning in prompt.warnings] == folded


@pytest.mark.parametrize("path", shipped())
def test_tools_calls_and_results_reach_the_model(path: Path) -> None:
    assert load(path).knows_tools == (path.stem not in NO_TOOLS)
    chats = ([SYSTEM, USER], [SYSTEM, *ROUND], [SYSTEM, *ROUND, MORE], [SYSTEM, *ROUND, ANSWER, MORE])
    for chat in chats:
        if path.stem in OWN_VARIABLES:
            with pytest.raises(TemplateRefused, match="functions"):
                render(path, chat, tools=TOOLS)
            continue
        prompt = render(path, chat, tools=TOOLS)
        asked = [message.content for message in chat if message.role in ("system", "user")]
        assert told(prompt, *LISTED, *asked, *(CALLED if ASK in chat else []))


@pytest.mark.parametrize("path", shipped())
def test_calls_of_long_ago_reach_the_model_without_tools(path: Path) -> None:
    if path.stem not in NEED_TOOLS:
        prompt = render(path, [*ROUND, ANSWER, MORE], tools=TOOLS, tool_choice="none")
        assert told(prompt, *CALLED)
        assert not any(description in prompt.text for description in LISTED if " " in description)


RECURS = {
    "CohereForAI-c4ai-command-r-plus-tool_use",
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
}
"""Recur for ever on a type that is a list with null in it."""


@pytest.mark.parametrize("path", shipped())
def test_tools_of_every_kind_are_listed(path: Path) -> None:
    kinds = {
        "any": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "one": {"enum": ["x", "y"]},
        "list": {"type": "array", "items": {"type": "string"}},
        "free": {},
        "named": {"$ref": "#/$defs/q"},
    }
    if path.stem not in OWN_VARIABLES:
        for given in (tool("f_qz", None), tool("f_qz", None, a={"type": "string"}), tool("f_qz", "d", **kinds)):
            assert told(render(path, [USER], tools=[given]), "f_qz")
        nullable = tool("f_qz", "d", a={"type": ["integer", "null"]})
        if path.stem in RECURS:
            with pytest.raises(TemplateRefused, match="recursion"):
                render(path, [USER], tools=[nullable])
        else:
            assert told(render(path, [USER], tools=[nullable]), "f_qz")


AWKWARD: dict[str, list[Message]] = {
    "a user twice": [USER, MORE],
    "the assistant first": [ANSWER, USER],
    "the assistant first, under a system": [SYSTEM, ANSWER, USER],
    "the assistant twice": [USER, ANSWER, Message("assistant", "Ou 24."), MORE],
    "a system in between": [USER, ANSWER, SYSTEM, MORE],
    "three systems": [SYSTEM, Message("developer", "Dois."), USER, ANSWER, Message("system", "Três."), MORE],
    "a system alone": [SYSTEM],
    "an answer to go on with": [SYSTEM, USER, Message("assistant", "São ")],
}


@pytest.mark.parametrize("chat", AWKWARD.values(), ids=AWKWARD)
@pytest.mark.parametrize("path", shipped())
def test_awkward_chats_reach_the_model_whole(path: Path, chat: list[Message]) -> None:
    if path.stem not in NEED_TOOLS and (path.stem, chat) != ("mistralai-Mistral-Nemo-Instruct-2407", [SYSTEM]):
        assert told(render(path, chat), *(str(message.content).strip() for message in chat))


BROKEN: dict[str, tuple[list[Message], list[str]]] = {
    "no ids": (
        [USER, Message("assistant", None, tool_calls=[ToolCall(call.function) for call in CALLS])]
        + [Message("tool", result.content) for result in RESULTS],
        CALLED,
    ),
    "ids that all calls share": (
        [USER, Message("assistant", "", tool_calls=[ToolCall(call.function, id="0") for call in CALLS])]
        + [Message("tool", result.content, tool_call_id="0") for result in RESULTS],
        CALLED,
    ),
    "calls in turns of their own": (
        [USER, *(Message("assistant", "", tool_calls=[call]) for call in CALLS), *RESULTS],
        CALLED,
    ),
    "arguments that are no JSON": (
        [USER, Message("assistant", tool_calls=[ToolCall(CallFunction("tempo_qz", arguments="{onde"))]), RESULTS[0]],
        ["tempo_qz", "{onde", "graus: vinte e três ✓"],
    ),
    "words beside the calls": (
        [USER, Message("assistant", "Vou ver.", tool_calls=CALLS, reasoning_content="Hum."), *RESULTS],
        CALLED,
    ),
}


@pytest.mark.parametrize(("chat", "needles"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("path", shipped())
def test_histories_as_clients_keep_them_reach_the_model(path: Path, chat: list[Message], needles: list[str]) -> None:
    if path.stem not in OWN_VARIABLES:
        for rest in ([], [ANSWER, MORE]):
            assert told(render(path, [*chat, *rest], tools=TOOLS), *needles)


EFFORTS = (None, "none", "minimal", "low", "medium", "high", "xhigh", "max", "whatever")


@pytest.mark.parametrize("path", shipped())
def test_no_effort_makes_a_template_refuse(path: Path) -> None:
    for effort in EFFORTS:
        if path.stem not in OWN_VARIABLES:
            render(path, [USER], tools=TOOLS, reasoning_effort=effort)
        if path.stem not in NEED_TOOLS:
            assert render(path, [USER], reasoning_effort=effort).warnings == []


@pytest.mark.parametrize("path", shipped())
def test_reasoning_is_told_once_at_most(path: Path) -> None:
    if path.stem not in NEED_TOOLS:
        thought = Message("assistant", "", tool_calls=CALLS[:1], reasoning_content="Penso qz.")
        for chat in ([USER, thought, RESULTS[0]], [USER, Message("assistant", "A.", reasoning="Penso qz."), MORE]):
            assert render(path, chat).text.count("Penso qz.") <= 1


# ---------------------------------------------------------------- some of them


@pytest.mark.parametrize("path", shipped("openai-gpt-oss-120b", "meta-llama-Llama-3.1-8B-Instruct"))
def test_calls_are_given_one_by_one_where_only_one_is_taken(path: Path) -> None:
    prompt = render(path, ROUND, tools=TOOLS)
    assert prompt.warnings[0].startswith("several calls of one turn were given one by one")
    places = [prompt.text.rindex(word) for word in ("Évora ☀", "vinte e três", "São Tomé", "meio-dia")]
    assert places == sorted(places)


@pytest.mark.parametrize("path", shipped("meta-llama-Llama-3.1-8B-Instruct", "google-gemma-2-2b-it"))
def test_without_care_a_template_refuses_what_it_refuses(path: Path) -> None:
    chats = ([SYSTEM, USER], [USER, MORE]) if "gemma" in path.stem else (ROUND,)
    for chat in chats:
        with pytest.raises(TemplateRefused):
            render(path, chat, care=False)
    # What is ours is not theirs to refuse.
    assert told(render(path, [USER], care=False, tools=TOOLS), *LISTED)


@pytest.mark.parametrize("path", shipped("google-gemma-2-2b-it"))
def test_a_template_that_knows_nothing_gets_it_all_as_text(path: Path) -> None:
    prompt = render(path, [USER, ASK, *RESULTS, MORE], tools=TOOLS[1:])
    begin, listed, rest = prompt.text.partition(
        '[{"type": "function", "function": {"name": "hora_qz", "description": "As horas, em português", "parameters": '
        '{"type": "object", "properties": {"onde": {"type": "string", "description": "Um sítio"}}}}}]\n\nEntão?'
    )
    assert listed
    assert begin.startswith("<s><start_of_turn>user\nYou can call the functions below.")
    assert rest == (
        "<end_of_turn>\n<start_of_turn>model\n"
        '{"name": "tempo_qz", "parameters": {"onde": "Évora ☀", "dias": 3}}\n'
        '{"name": "hora_qz", "parameters": {"onde": "São Tomé"}}<end_of_turn>\n'
        "<start_of_turn>user\ntempo_qz returned:\ngraus: vinte e três ✓\n\nhora_qz returned:\nmeio-dia, já\n\n"
        "E amanhã?<end_of_turn>\n<start_of_turn>model\n"
    )
    assert [warning.partition(":")[0] for warning in prompt.warnings] == [
        "adjacent messages of equal roles were merged"
    ]


@pytest.mark.parametrize("path", shipped("mistralai-Mistral-Nemo-Instruct-2407", "Mistral-Small-3.2-24B-Instruct-2506"))
def test_ids_are_of_the_form_that_mistral_wants(path: Path) -> None:
    prompt = render(path, ROUND, tools=TOOLS)
    assert "call_abc" not in prompt.text
    assert prompt.text.count("call00000") == prompt.text.count("call00001") > 0
    kept = [Message("assistant", None, tool_calls=[ToolCall(CALLS[0].function, id="abcDEF123")])]
    text = render(path, [USER, *kept, Message("tool", "x", tool_call_id="abcDEF123")]).text
    assert "abcDEF123" in text and "call00000" not in text


@pytest.mark.parametrize("path", shipped("mistralai-Mistral-Nemo-Instruct-2407"))
def test_a_system_message_that_is_shown_before_a_users_last_word_only_is_not_lost(path: Path) -> None:
    assert render(path, [SYSTEM, USER, ANSWER, MORE]).warnings == []
    prompt = render(path, [SYSTEM, *ROUND])
    assert "[INST]Sê breve, ó modelo.\n\nEntão?[/INST]" in prompt.text
    assert prompt.warnings[0].startswith("the system message was folded")


@pytest.mark.parametrize("path", shipped("Kimi-K2-Instruct"))
def test_a_template_may_queue_ids_in_a_list_of_its_own(path: Path) -> None:
    text = render(path, ROUND, tools=TOOLS).text
    assert "functions.hora_qz:1<|tool_call_argument_begin|>" in text and "## Return of functions.hora_qz:1\n" in text


@pytest.mark.parametrize("path", shipped("deepseek-ai-DeepSeek-R1-Distill-Llama-8B", "meetkai-functionary-medium-v3.2"))
def test_arguments_are_given_as_text_where_the_template_adds_them_up(path: Path) -> None:
    assert '{"onde": "Évora ☀", "dias": 3}' in render(path, ROUND, tools=TOOLS).text


TAILS = {
    "Qwen-Qwen3-0.6B": {None: "assistant\n", "high": "assistant\n", "none": "<think>\n\n</think>\n\n"},
    "deepseek-ai-DeepSeek-V3.1": {None: "</think>", "minimal": "<think>", "none": "</think>"},
    "GLM-4.6": {None: "<|assistant|>", "xhigh": "<|assistant|>", "none": "<think></think>"},
    "HuggingFaceTB-SmolLM3-3B": {None: "assistant\n", "low": "assistant\n", "none": "<think>\n\n</think>\n"},
    "Cohere2MoE": {None: "<|START_THINKING|>", "low": "<|START_THINKING|>", "none": "<|END_THINKING|>"},
    "upstage-Solar-Open-100B": {"high": "?<|end|><|begin|>assistant", "none": "<|think|><|end|><|begin|>assistant"},
    "inclusionai-ling-3.0-flash": {"high": "<think>", "none": "</think>"},
}
"""How prompts end, after which effort."""


@pytest.mark.parametrize("path", shipped(*TAILS))
def test_an_effort_opens_and_shuts_the_thinking(path: Path) -> None:
    for effort, tail in TAILS[path.stem].items():
        assert render(path, [USER], reasoning_effort=effort).text.rstrip("\n").endswith(tail.rstrip("\n"))


WORDS = {
    "openai-gpt-oss-120b": ("Reasoning: {}\n", "medium low low low medium high high"),
    "muse-glimmer": ("Reasoning strength: {}.", "high low low low medium high high"),
    "tencent-Hy3": ("reasoning_effort:{}", "no_think no_think low low high high high"),
    "Kimi-K3": ("with `thinking_effort={}`", "max - low low high high max"),
    "MiniMax-M3": ("Current thinking mode: {}", "- disabled enabled enabled enabled enabled enabled"),
}
"""What is said of an effort, and in which words, in the order of EFFORTS; nothing is said where a stroke stands."""


@pytest.mark.parametrize("path", shipped(*WORDS))
def test_an_effort_is_told_in_the_words_of_the_template(path: Path) -> None:
    form, words = WORDS[path.stem]
    for effort, word in zip(EFFORTS, words.split(), strict=False):
        assert (form.format(word) in render(path, [USER], reasoning_effort=effort).text) == (word != "-")


@pytest.mark.parametrize("path", shipped("ibm-granite-granite-3.3-2B-Instruct"))
def test_granite_thinks_when_it_is_asked_to(path: Path) -> None:
    thinks = ["<think></think>" in render(path, [USER], reasoning_effort=effort).text for effort in EFFORTS[:4]]
    assert thinks == [False, False, True, True]


@pytest.mark.parametrize("path", shipped("Qwen-Qwen3-0.6B"))
def test_the_requests_own_variables_win(path: Path) -> None:
    kwargs = {"enable_thinking": False}
    prompt = render(path, [USER], reasoning_effort="high", chat_template_kwargs=kwargs)
    assert prompt.text.endswith("<think>\n\n</think>\n\n")


@pytest.mark.parametrize("path", shipped("openai-gpt-oss-120b"))
def test_reasoning_is_told_under_the_name_that_is_looked_for(path: Path) -> None:
    thought = Message("assistant", "", tool_calls=CALLS[:1], reasoning_content="Penso qz.")
    assert "<|channel|>analysis<|message|>Penso qz.<|end|>" in render(path, [USER, thought, RESULTS[0]]).text

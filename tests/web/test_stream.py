"""A chat becomes a request, and what comes back an answer: events, pings, faults, whole answers."""

from typing import Any

from playwright.async_api import Page

from gateway import MODEL, Site, Start
from upstream import CUT, DONE, answer, completion, delta, event, finish, refusal, script, stream, text, usage

ASK = """async (body) => {
  const { blank, chat, fold } = await import("/assets/shared/stream.js");
  const stop = new AbortController();
  const answer = blank(body);
  const kinds = [];
  try {
    for await (const event of chat(body, { signal: stop.signal })) {
      if (kinds.at(-1) !== event.kind) kinds.push(event.kind);
      fold(answer, event);
      if (body.stop_here && event.kind === "chunk") stop.abort();
    }
  } catch (error) {
    fold(answer, { kind: "error", error, at: performance.now() });
  }
  return { ...answer, kinds, times: [answer.first > answer.started, answer.ended >= answer.first] };
}"""
BODY = "async ([chat, upto]) => (await import('/assets/playground/request.js')).body(chat, upto ?? undefined)"


async def _ask(page: Page, site: Site, **fields: Any) -> Any:
    await page.goto(f"{site.url}/status")
    messages = [{"role": "user", "content": "hi"}]
    return await page.evaluate(ASK, {"model": MODEL, "messages": messages, "stream": True, **fields})


async def _body(page: Page, chat: dict[str, Any], upto: Any = None) -> Any:
    return await page.evaluate(BODY, [{"model": "m", "provider": "", "system": "", "settings": {}, **chat}, upto])


async def test_a_stream_is_folded_with_its_figures_and_where_it_came_from(page: Page, site: Site):
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a"'}}
    rest = {"index": 0, "function": {"arguments": ": 1}"}}
    site.upstream.scripts = [
        script(
            delta({"role": "assistant", "reasoning": "Hm"}), delta({"reasoning_content": "m."}), 0.02,
            text("a"), 0.02, text("b"), text("other", index=1), delta({"tool_calls": [call]}),
            delta({"tool_calls": [rest]}), finish("tool_calls"), finish("stop", index=1), usage(3, 5), DONE,
        )
    ]  # fmt: skip
    told = await _ask(page, site, stream_options={"include_usage": True}, nonsense=1)
    first, second = told["choices"]
    assert (first["content"], first["reasoning"], first["finish_reason"]) == ("ab", "Hmm.", "tool_calls")
    assert first["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a": 1}'}
    assert first["thought"]["to"] > first["thought"]["from"]
    assert second["content"] == "other"
    assert told["usage"]["completion_tokens"] == 5 and told["usage"]["cost"] > 0
    assert (told["provider"], told["model"], told["finish"]) == ("scripted", MODEL, "tool_calls")
    assert told["route"][0]["outcome"] == "served" and told["requestId"].startswith("req-")
    assert "nonsense" in told["warnings"][0]
    assert told["kinds"] == ["head", "chunk", "end"] and told["times"] == [True, True]
    assert told["error"] is None and len(told["response"]["chunks"]) == 10


async def test_a_whole_answer_is_folded_to_the_same(page: Page, site: Site):
    site.upstream.scripts = [answer(completion("hello"))]
    told = await _ask(page, site, stream=False)
    assert told["choices"][0]["content"] == "hello" and told["usage"]["total_tokens"] == 5
    assert told["kinds"] == ["head", "whole", "end"] and told["first"] == 0
    assert told["response"]["whole"]["choices"][0]["message"]["content"] == "hello"


async def test_who_answers_is_read_from_comments_where_a_ping_took_the_head(page: Page, site: Site):
    site.upstream.scripts = [script(1.2, text("late", first=True), finish(), usage(), DONE)]
    told = await _ask(page, site)
    assert told["kinds"] == ["head", "comment", "chunk", "end"]
    assert told["provider"] == "scripted" and told["route"][0]["outcome"] == "served"


async def test_what_came_before_a_fault_is_kept_beside_it(page: Page, site: Site):
    faulty = event({"error": {"message": "the disk is full", "type": "server_error", "code": "full"}})
    site.upstream.scripts = [script(text("so far", first=True), faulty)]
    told = await _ask(page, site)
    assert told["choices"][0]["content"] == "so far"
    assert "the disk is full" in told["error"]["message"] and told["error"]["status"] == 200
    assert told["ended"] > 0
    site.upstream.scripts = [script(text("so far", first=True), 0.05, CUT)]
    told = await _ask(page, site)
    assert told["choices"][0]["content"] == "so far" and told["error"]["code"] == "upstream_error"


async def test_a_refusal_says_why_and_where(page: Page, site: Site):
    told = await _ask(page, site, temperature=9)
    assert told["error"]["status"] == 400 and told["error"]["param"] == "temperature" and told["kinds"] == []
    told = await _ask(page, site, model="nobody/has-this")
    assert told["error"]["code"] == "model_not_found" and told["error"]["requestId"]
    site.upstream.scripts = [refusal(429, "slow down", {"Retry-After": "7"})]
    told = await _ask(page, site)
    assert told["error"]["retryAfter"] == "7" and told["route"][0]["outcome"] == "failed"


async def test_a_stopped_answer_is_no_fault(page: Page, site: Site):
    site.upstream.scripts = [script(text("one", first=True), 0.2, text(" two"), finish(), usage(), DONE)]
    told = await _ask(page, site, stop_here=True)
    assert told["finish"] == "stopped" and told["error"] is None
    assert told["choices"][0]["content"] == "one"


async def test_a_server_that_is_gone_is_told_of(page: Page, start: Start, watch: Any):
    watch.expected.append("ERR_CONNECTION_REFUSED")
    async with start() as site:
        await page.goto(f"{site.url}/status")
        await page.evaluate(ASK, {"messages": [{"role": "user", "content": "hi"}], "model": MODEL, "stream": True})
    told = await page.evaluate(ASK, {"messages": [], "stream": True})
    assert told["error"]["status"] == 0 and "can't be reached" in told["error"]["message"]


async def test_events_are_the_same_however_they_are_cut(page: Page, site: Site):
    await page.goto(f"{site.url}/status")
    feeds = """async (text) => {
      const { lines } = await import("/assets/shared/stream.js");
      return [1, 2, 3, 5, 1000].map((size) => {
        const feed = lines();
        const found = [];
        for (let at = 0; at < text.length; at += size) found.push(...feed(text.slice(at, at + size)));
        return found;
      });
    }"""
    whole = (
        ": ping\n\ndata: one\r\n\r\ndata: two\ndata:three\n\nid: 1\revent: x\rdata: four\r\r: x-tertulia-route: []\n\n"
    )
    found = await page.evaluate(feeds, whole)
    told = [{"comment": "ping"}, *({"data": data} for data in ("one", "two\nthree", "four"))]
    assert found == [[*told, {"comment": "x-tertulia-route: []"}]] * 5


async def test_a_long_answer_keeps_a_bounded_part_of_what_came(page: Page, site: Site):
    piece = "x" * 20_000
    site.upstream.scripts = [script(*(text(piece, first=not at) for at in range(50)), finish(), usage(), DONE)]
    told = await _ask(page, site)
    assert len(told["choices"][0]["content"]) == 1_000_000
    response = told["response"]
    assert sum(map(len, response["chunks"])) <= 512 * 1024
    assert response["left"] + len(response["chunks"]) == 51 and response["last"]


# ---------------------------------------------------------------- requests


async def test_everything_that_is_set_is_sent_and_nothing_else(page: Page, site: Site):
    await page.goto(f"{site.url}/status")
    messages = [
        {"id": "1", "role": "user", "content": "hi", "answer": {}, "name": "Ann"},
        {"id": "2", "role": "assistant", "content": "", "reasoning": "old", "tool_calls": [
            {"id": "c", "type": "function", "index": 0, "function": {"name": "f", "arguments": "{}"}}]},
        {"id": "3", "role": "tool", "content": "42", "tool_call_id": "c"},
    ]  # fmt: skip
    settings = {
        "temperature": 0, "top_p": 0.5, "max_tokens": 7, "stop": ["\n"], "seed": 1, "n": 2, "logprobs": True,
        "top_logprobs": 2, "logit_bias": {"5": -1}, "models": ["o"], "response_format": {"type": "json_object"},
        "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto", "tool_prompt": "Use:",
        "reasoning_effort": "low", "presence_penalty": 1, "frequency_penalty": -1,
    }  # fmt: skip
    given = {"provider": "fastest", "system": "Be brief.", "messages": messages, "settings": settings}
    made = await _body(page, given)
    assert made["problems"] == []
    body = made["body"]
    assert body["model"] == "m:fastest" and body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}
    assert {name: body[name] for name in settings} == settings
    assert set(body) == {*settings, "model", "messages", "stream", "stream_options"}
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi", "name": "Ann"},
        {"role": "assistant", "content": None, "reasoning": "old", "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "content": "42", "tool_call_id": "c"},
    ]  # fmt: skip
    assert (await _body(page, given, "1"))["body"]["messages"][-1]["role"] == "user"
    assert len((await _body(page, given, 2))["body"]["messages"]) == 3


async def test_extra_json_has_the_last_word(page: Page, site: Site):
    await page.goto(f"{site.url}/status")
    extra = '{"temperature": 1, "stream": false, "provider_field": {"a": [1]}}'
    made = await _body(
        page, {"messages": [{"role": "user", "content": "x"}], "settings": {"temperature": 0, "extra": extra}}
    )
    assert made["body"]["temperature"] == 1 and made["body"]["stream"] is False
    assert made["body"]["provider_field"] == {"a": [1]} and "extra" not in made["body"]


async def test_a_last_word_of_the_assistants_is_continued_and_no_stream_has_no_options(page: Page, site: Site):
    await page.goto(f"{site.url}/status")
    said = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "The", "reasoning": "Hm"}]
    body = (await _body(page, {"messages": said, "settings": {"stream": False}}))["body"]
    assert body["continue_final_message"] is True and "stream_options" not in body
    assert body["messages"][-1] == {"role": "assistant", "content": "The", "reasoning": "Hm"}
    said.append({"role": "user", "content": "y"})
    body = (await _body(page, {"messages": said}))["body"]
    assert "continue_final_message" not in body and "reasoning" not in body["messages"][1]


async def test_what_is_wrong_is_told_and_left_out(page: Page, site: Site):
    await page.goto(f"{site.url}/status")
    settings = {
        "temperature": 3, "top_p": 0, "n": 1.5, "seed": "x", "stop": ["a"] * 5, "extra": "[1]", "top_logprobs": 2,
        "logit_bias": {"x": 1}, "tools": "[{", "tool_choice": "required", "max_tokens": 0, "reasoning_effort": "huge",
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "strin"}}},
    }  # fmt: skip
    made = await _body(page, {"messages": [], "settings": settings})
    assert {one["field"] for one in made["problems"]} == {*settings, "messages"}
    assert set(made["body"]) == {"model", "messages", "stream", "stream_options"}
    assert all(one["message"] for one in made["problems"])


async def test_the_server_takes_what_the_settings_take(page: Page, site: Site):
    """The bounds here are the server's own: the outermost values pass both."""
    await page.goto(f"{site.url}/status")
    ends = """async () => (await import("/assets/playground/fields.js")).FIELDS
      .filter(({ min, kind }) => min !== undefined && kind !== "bias")
      .map(({ name, min, max, more }) => [name, more ? 0.01 : min, max])"""
    for name, least, most in await page.evaluate(ends):
        for value in (least, most):
            site.upstream.scripts = [stream("fine")]
            more = {"logprobs": True} if name == "top_logprobs" else {}
            told = await page.evaluate(
                ASK,
                {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "stream": True, name: value, **more},
            )
            assert told["error"] is None, (name, value, told["error"])

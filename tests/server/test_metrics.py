"""The figures add up."""

from prometheus_client.parser import text_string_to_metric_families as families

from talk import Ask, chat


async def figures(ask: Ask) -> dict[tuple[str, ...], float]:
    text = (await ask(path="/metrics")).body.decode()
    samples = [sample for family in families(text) for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


async def test_requests_tokens_and_times_are_counted(ask: Ask):
    await ask(chat("one two three", stream=True))
    await ask(chat("one !0.02 two"))
    await ask(chat("one !upstream", stream=True))
    await ask(chat("one", n=99))
    await ask(path="/nowhere")
    now = await figures(ask)
    path = "/v1/chat/completions"
    assert now["tertulia_requests_total", "ok", path, "200"] == 2
    assert now["tertulia_requests_total", "upstream_error", path, "200"] == 1
    assert now["tertulia_requests_total", "invalid_request_error", path, "400"] == 1
    assert now["tertulia_requests_total", "not_found", "other", "404"] == 1
    assert (now["tertulia_tokens_total", "prompt"], now["tertulia_tokens_total", "completion"]) == (6, 5)
    assert now["tertulia_time_to_first_token_seconds_count",] == 3
    assert now["tertulia_time_between_tokens_seconds_count",] == 4 + 3  # chunks of two answers, less one each
    assert 0.015 < now["tertulia_time_between_tokens_seconds_sum",] < 1
    assert now["tertulia_requests_in_flight",] == 1  # the one that asks


async def test_the_backends_own_figures_stand_behind(ask: Ask):
    assert (await figures(ask))["tertulia_engine_things",] == 3

"""The gateway: what a relayed request costs it, beside nginx and LiteLLM, in one interleaved run."""

import contextlib
from pathlib import Path
from statistics import median

from bench import gateways
from bench.gateways import MODEL, Gateway
from bench.table import Row
from bench.worker import Worker

PLAIN = {"count": 3000, "at_once": 64, "stream": False}
STREAM = {"count": 200, "at_once": 1, "stream": True}
CROWD = {"count": 1500, "at_once": 64, "stream": True}
SLOW = 20
"""LiteLLM gets this part of the requests: it takes that much longer for each."""


def run(folder: Path, rounds: int) -> list[Row]:
    """CPU of the gateway process a request and a stream of 50 chunks; then what many models, providers and callers add,
    and what is left behind by 100,000 requests."""
    return [*_side_by_side(rounds), *_grown(rounds), _long()]


def _side_by_side(rounds: int) -> list[Row]:
    figures: dict[tuple[str, str], list[dict[str, float]]] = {}
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(gateways.upstream())
        client = stack.enter_context(Worker("load"))
        opened = [stack.enter_context(make(port)) for make in (gateways.tertulia, gateways.nginx, gateways.litellm)]
        sides = [side for side in opened if side]
        for turn in range(-1, rounds):
            for case, work in (("plain, 64 at once", PLAIN), ("stream, alone", STREAM), ("stream, 64 at once", CROWD)):
                direct = client.ask(port=port, path=_PATH, model=MODEL, token="none", **work)
                for side in sides[:: 1 if turn % 2 else -1]:
                    found = _measure(client, side, work)
                    found["added ms to first byte"] = (found["first"] - direct["first"]) * 1000
                    if turn >= 0:  # the first round warms up
                        figures.setdefault((case, side.name), []).append(found)
        memory = {side.name: side.memory() for side in sides}
    shown = ("CPU us", "added ms to first byte", "per second", "bad")
    rows = [
        Row("gateway", f"{case}: {name}", {figure: median(one[figure] for one in found) for figure in shown})
        for (case, name), found in figures.items()
    ]
    return [*rows, *(Row("gateway", f"memory: {name}", {"MB": amount}) for name, amount in memory.items())]


_PATH = "/v1/chat/completions"


def _measure(client: Worker, side: Gateway, work: dict[str, int | bool]) -> dict[str, float]:
    count = int(work["count"]) // (SLOW if side.name == "litellm" else 1)
    before = side.cpu()
    asked = work | {"count": max(count, int(work["at_once"]))}
    found = client.ask(port=side.port, path=_PATH, model=MODEL, token=side.token, **asked)
    found["CPU us"] = (side.cpu() - before) / asked["count"] * 1e6
    found["per second"] = asked["count"] / found["wall"]
    return found


def _grown(rounds: int) -> list[Row]:
    """One model, one provider and one caller against 500, 16 and 10,000."""
    ratios: list[float] = []
    with (
        gateways.upstream() as port,
        Worker("load") as client,
        gateways.tertulia(port, tokens=1) as small,
        gateways.tertulia(port, models=500, providers=16, tokens=10_000) as large,
    ):
        for turn in range(-1, 2 * rounds):
            few, many = (_measure(client, side, PLAIN)["CPU us"] for side in (small, large))
            if turn >= 0:
                ratios.append(many / few)
    return [Row("grown", "500 models, 16 providers, 10,000 callers", {"CPU, against one of each": median(ratios)})]


def _long() -> Row:
    """100,000 requests in a row: memory and open files afterwards, against those after the first 10,000."""
    work = PLAIN | {"count": 10_000}
    with gateways.upstream() as port, Worker("load") as client, gateways.tertulia(port) as side:
        bad = _measure(client, side, work)["bad"]
        memory, files = side.memory(), side.files()
        for _ in range(9):
            bad += _measure(client, side, work)["bad"]
        figures = {"more MB": side.memory() - memory, "more files": side.files() - files, "bad": bad}
    return Row("long", "100,000 requests", figures)

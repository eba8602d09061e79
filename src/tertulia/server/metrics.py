"""GET /metrics: the figures of this server in Prometheus' text format, with the backend's own behind them.

Figures are counted in plain numbers, as it is one event loop that counts them, and become Prometheus' families when
somebody asks.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from tertulia.server.exchange import Exchange
from tertulia.server.watch import GAPS, Watch

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class _Spread:
    """How often values fell into which class, and their sum."""

    def __init__(self, name: str, help: str, bounds: Sequence[float]) -> None:
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self._name, self._help, self._bounds = name, help, bounds

    def add(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def family(self) -> HistogramMetricFamily:
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self.counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        family = HistogramMetricFamily(self._name, self._help)
        family.add_metric([], buckets=buckets, sum_value=self.sum)
        return family


class Metrics(Collector):
    """Counts what goes by. Everything is booked once a request; the gaps between chunks are summed by their watch."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._requests: dict[tuple[str, int, str], int] = {}
        self._prompt = self._completion = 0
        self._first = _Spread(
            "tertulia_time_to_first_token_seconds", "From a request's head to the first piece of its answer.", _SECONDS
        )
        self._whole = _Spread("tertulia_request_seconds", "From a request's head to its end.", _SECONDS)
        self._gaps = _Spread("tertulia_time_between_tokens_seconds", "Between two pieces of an answer.", GAPS)
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def watched(self, watch: Watch, exchange: Exchange) -> None:
        """An answer is over, whole or not."""
        if exchange.first_token is not None:
            self._first.add(exchange.first_token)
        if watch.beats > 1:
            gaps = self._gaps
            gaps.counts = [have + more for have, more in zip(gaps.counts, watch.gaps, strict=True)]
            gaps.sum += watch.gaps_sum

    def done(self, exchange: Exchange) -> None:
        """A request is over."""
        key = (exchange.route, exchange.status, exchange.outcome)
        self._requests[key] = self._requests.get(key, 0) + 1
        self._whole.add(exchange.seconds())
        self._prompt += exchange.prompt_tokens
        self._completion += exchange.completion_tokens

    def text(self) -> str:
        return generate_latest(self._registry).decode()

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("tertulia_requests", "Requests answered.", labels=("route", "status", "outcome"))
        for (route, status, outcome), count in self._requests.items():
            requests.add_metric((route, str(status), outcome), count)
        yield requests
        tokens = CounterMetricFamily("tertulia_tokens", "Tokens of chats answered.", labels=("kind",))
        tokens.add_metric(("prompt",), self._prompt)
        tokens.add_metric(("completion",), self._completion)
        yield tokens
        yield self._first.family()
        yield self._whole.family()
        yield GaugeMetricFamily("tertulia_requests_in_flight", "Requests being answered.", value=self.in_flight)
        yield self._gaps.family()

"""GET /metrics: the figures of this server in Prometheus' text format, with the backend's own behind them."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from tertulia.server.exchange import Exchange
from tertulia.server.watch import GAPS, Watch

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counts what goes by. Everything is booked once a request; the gaps between chunks are summed by their watch."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "tertulia_requests", "Requests answered.", ["route", "status", "outcome"], registry=self._registry
        )
        self._tokens = Counter("tertulia_tokens", "Tokens of chats answered.", ["kind"], registry=self._registry)
        self._prompt, self._completion = self._tokens.labels("prompt"), self._tokens.labels("completion")
        self._first = Histogram(
            "tertulia_time_to_first_token_seconds",
            "From a request's head to the first piece of its answer.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._whole = Histogram(
            "tertulia_request_seconds", "From a request's head to its end.", buckets=_SECONDS, registry=self._registry
        )
        self.in_flight = Gauge("tertulia_requests_in_flight", "Requests being answered.", registry=self._registry)
        self._gaps = _Gaps()
        self._registry.register(self._gaps)

    def watched(self, watch: Watch, exchange: Exchange) -> None:
        """An answer is over, whole or not."""
        if exchange.first_token is not None:
            self._first.observe(exchange.first_token)
        self._gaps.add(watch)

    def done(self, exchange: Exchange) -> None:
        """A request is over."""
        self._requests.labels(exchange.route, str(exchange.status), exchange.outcome).inc()
        self._whole.observe(exchange.seconds())
        if exchange.prompt_tokens:
            self._prompt.inc(exchange.prompt_tokens)
            self._completion.inc(exchange.completion_tokens)

    def text(self) -> str:
        return generate_latest(self._registry).decode()


class _Gaps(Collector):
    """The time between tokens, from the classes that watches count in."""

    def __init__(self) -> None:
        self._counts = [0] * (len(GAPS) + 1)
        self._sum = 0.0

    def add(self, watch: Watch) -> None:
        if watch.beats > 1:
            self._counts = [have + more for have, more in zip(self._counts, watch.gaps, strict=True)]
            self._sum += watch.gaps_sum

    def collect(self) -> Iterator[HistogramMetricFamily]:
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*GAPS, float("inf")), self._counts, strict=True):
            total += count
            buckets.append(("+Inf" if bound == float("inf") else str(bound), float(total)))
        family = HistogramMetricFamily("tertulia_time_between_tokens_seconds", "Between two pieces of an answer.")
        family.add_metric([], buckets=buckets, sum_value=self._sum)
        yield family

"""Durations and sizes of requests by route, upstream and method, for collectors: OpenTelemetry's conventions require
the method. Prometheus has them by route and upstream (`monitor/traffic.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil, log2
from typing import Final

from gateway.algorithms.percentiles import SMALLEST, Sketch
from gateway.algorithms.sizes import Sizes
from gateway.families import BYTES, Exemplar, Family, Sample
from gateway.http import Exchange, Outcome
from gateway.monitor.traffic import METHODS, NONE, OTHER, OTHER_METHOD, upstream_name
from gateway.monitor.traffic_metrics import BY_ROUTE

MOST_BYTES: Final = 16 * 1024**2  # of all series, from which on no new one is begun
LABELS: Final = (*BY_ROUTE, "method")
_GROWTH: Final = 1.25  # the share of that to which series may grow that are there
_SERIES: Final = 1500  # bytes
_CELL: Final = 8
_EXEMPLAR: Final = 400

Name = tuple[str, str, str]  # route, upstream, method
_OVERFLOW: Final[Name] = (OTHER, OTHER, OTHER_METHOD)


class Series:
    """All requests of one name. Every number only grows."""

    __slots__ = ("durations", "exemplars", "received", "sent")

    def __init__(self) -> None:
        self.durations = Sketch()
        self.received = Sizes()
        self.sent = Sizes()
        self.exemplars: dict[int, Exemplar] = {}  # the last one of each octave of durations


class ByMethod:
    """Counts every exchange that is over, while metrics are exported. All on the event loop."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.bytes = 0  # about what all series take
        self._most_bytes = most_bytes
        self._series: dict[Name, Series] = {}
        self._by_words: dict[tuple[str | None, str | None, str], Series] = {}  # by the words that exchanges have
        self._exists: Callable[[str, str], bool] | None = None

    def __len__(self) -> int:
        return len(self._series)

    def report(self, exchange: Exchange, outcome: Outcome) -> None:
        """An exchange is over. See `Report`."""
        method = exchange.method if exchange.method in METHODS else OTHER_METHOD
        words = exchange.route, exchange.upstream, method
        series = self._by_words.get(words)
        if series is None:
            series = self._of_words(words)
        self._took(series.durations, outcome.seconds)
        series.received.add(outcome.received)
        series.sent.add(outcome.sent)
        if (span := exchange.span) is not None:
            octave = ceil(log2(max(outcome.seconds, SMALLEST)))
            if octave not in series.exemplars:
                if self.bytes > self._most_bytes:
                    return
                self.bytes += _EXEMPLAR
            series.exemplars[octave] = Exemplar(span.trace, span.id, outcome.seconds, outcome.at + outcome.seconds)

    def families(self) -> Iterator[Family]:
        """All of them, as of now."""
        named = list(self._series.items())
        help = "Duration of requests, from their head to the end of the response."
        durations = (Sample(name, each.durations, tuple(each.exemplars.values())) for name, each in named)
        yield Family("http_server_request_duration_seconds", "histogram", help, LABELS, durations)
        help, received = "Size of request bodies, as they came.", (Sample(name, each.received) for name, each in named)
        yield Family("http_server_request_body_size_bytes", "histogram", help, LABELS, received, bounds=BYTES)
        help, sent = "Size of response bodies, as they were sent.", (Sample(name, each.sent) for name, each in named)
        yield Family("http_server_response_body_size_bytes", "histogram", help, LABELS, sent, bounds=BYTES)

    def keep(self, exists: Callable[[str, str], bool]) -> Iterator[None]:
        """From now on there are only routes with upstreams for which this is true. What ends is let go step by step,
        with each value that is taken of what is returned."""
        self._exists = exists
        return self._end(exists)

    def _end(self, exists: Callable[[str, str], bool]) -> Iterator[None]:
        for name, series in list(self._series.items()):
            if name != _OVERFLOW and not exists(name[0], name[1]):
                del self._series[name]
                self.bytes -= _SERIES + _CELL * len(series.durations.counts) + _EXEMPLAR * len(series.exemplars)
            yield
        living = set(map(id, self._series.values()))
        self._by_words = {words: series for words, series in self._by_words.items() if id(series) in living}

    def _took(self, durations: Sketch, seconds: float) -> None:
        before = len(durations.counts)
        if before and self.bytes > _GROWTH * self._most_bytes:
            one = Sketch()
            one.add(seconds)
            durations.merge_within(one)
            return
        durations.add(seconds)
        self.bytes += _CELL * (len(durations.counts) - before)

    def _of_words(self, words: tuple[str | None, str | None, str]) -> Series:
        route, upstream, method = words
        name = (route or NONE, upstream_name(upstream) if upstream else NONE, method)
        series = self._series.get(name)
        if series is None:
            # A route may have ended while it was answering.
            if self.bytes > self._most_bytes or not (self._exists is None or self._exists(name[0], name[1])):
                return self._series.setdefault(_OVERFLOW, Series())
            series = self._series[name] = Series()
            self.bytes += _SERIES
        self._by_words[words] = series
        return series

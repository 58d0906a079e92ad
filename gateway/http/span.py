"""Attributes of a sampled exchange as a span, and of its attempts as its child spans."""

from __future__ import annotations

from random import Random
from typing import Final, NamedTuple, Protocol

from gateway.http.bodies import Headers
from gateway.http.messages import Attempt, Exchange, Outcome
from gateway.http.trace_context import Lines, context_lines

MOST_ATTEMPTS: Final = 100  # that one exchange keeps for its spans


class Recorder(Protocol):
    """Takes exchanges that are recorded, when they are over."""

    def ended(self, span: Span, exchange: Exchange, outcome: Outcome) -> None:
        """Must not raise, and must not wait."""
        ...


class Tried(NamedTuple):
    """An attempt that is recorded."""

    id: str  # of its span, 16 hexadecimal digits
    upstream: str | None
    scheme: str  # http or https; empty: an application in this process
    attempt: Attempt


class Span:
    """The server span of one exchange. Copies of the exchange have the same; what they do once it has ended, such as a
    request to a mirror, is a child of it, and no span of its own."""

    __slots__ = (
        "_b3",
        "_ended",
        "_random",
        "_recorder",
        "attempts",
        "flags",
        "id",
        "lines",
        "parent",
        "paths",
        "state",
        "trace",
    )

    def __init__(
        self,
        trace: str,
        own: str,
        flags: int,
        recorder: Recorder,
        random: Random,
        paths: tuple[str, ...],
        parent: str = "",
        b3: str = "",
    ) -> None:
        self.trace = trace  # its id, 32 hexadecimal digits
        self.id = own  # 16 hexadecimal digits
        self.parent = parent  # the same; empty: it is the root
        self.flags = flags
        self.state = b""  # the tracestate
        self.paths = paths  # of the route, of which the request fits one
        self.lines: Lines = context_lines(trace, own, flags, b3, parent)  # by which it is the parent of what is asked
        self.attempts: list[Tried] = []
        self._b3 = b3
        self._random = random
        self._recorder = recorder
        self._ended = False

    def begin(self, attempt: Attempt, upstream: str | None, scheme: str, headers: Headers) -> Headers:
        """A client span for an attempt: these lines, with it for the parent of what the backend does."""
        if self._ended or len(self.attempts) >= MOST_ATTEMPTS:
            return headers
        own = self._random.randbytes(8).hex()
        self.attempts.append(Tried(own, upstream, scheme, attempt))
        lines = context_lines(self.trace, own, self.flags, self._b3, self.id)
        # Rules about headers may have changed or removed them; then they have the word.
        if not self._b3:  # the usual case
            before, after = self.lines[0], lines[0]
            return [after if line == before else line for line in headers]
        changed = dict(zip(self.lines, lines, strict=False))
        return [changed.get(line, line) for line in headers]

    def end(self, exchange: Exchange, outcome: Outcome) -> None:
        """The exchange is over."""
        if not self._ended:
            self._ended = True
            self._recorder.ended(self, exchange, outcome)

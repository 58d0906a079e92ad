"""Propagates the trace context to the backend, and decides whether the trace is recorded (docs/tracing.md).

A trace that comes from a trusted peer is continued, and the decision that was made of it kept. In all other cases a new
one begins, of which it is decided here, and what the client said of one is dropped. Where an exchange is recorded, the
backend gets the id of the client span of its attempt, which is exported, and otherwise the parent as it came.
"""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from gateway.auth.schemes import schemes_of
from gateway.config.models import RouteConfig
from gateway.config.models.trace import Trace as TraceConfig
from gateway.context import Context
from gateway.http import Exchange, Handler, Response
from gateway.http.span import Recorder, Span
from gateway.http.trace_context import (
    B3_FIELDS,
    CONTEXT_FIELDS,
    RANDOM,
    SAMPLED,
    Lines,
    Parent,
    baggage_lines,
    context_lines,
    parent_in,
    state_lines,
)
from gateway.middleware.declaration import Declaration
from gateway.monitor.telemetry.exports import exported, span_recorder

DEFAULT_SHARE: Final = 0.01
_SHARES: Final = {"always_on": 1.0, "always_off": 0.0}
_HALF: Final = 2**64  # values that the second half of a trace id may have


class Hops:
    """Makes ids, for all routes of the process."""

    def __init__(self) -> None:
        self.random = random.Random()


def threshold(share: float) -> str:
    """What the second half of a trace id, in hexadecimal digits, is less than, where the trace is recorded: as the
    samplers of OpenTelemetry that go by the trace id decide it."""
    bound = round(share * _HALF)
    return "g" if bound >= _HALF else f"{bound:016x}"


@dataclass(frozen=True, slots=True)
class Trace:
    """Whose trace is continued: that of trusted peers, and of strangers where that is wanted."""

    hops: Hops
    below: str  # see `threshold`
    trusts_peers: bool = True
    trusts_strangers: bool = False
    b3: str = ""  # single, multi; empty: not sent, and not understood
    recorder: Recorder | None = None  # None: no span is exported
    paths: tuple[str, ...] = ()  # of the route

    def __repr__(self) -> str:
        trusted = {"proxies": self.trusts_peers, "others": self.trusts_strangers}
        said = [f"trusts {' and '.join(name for name, trusts in trusted.items() if trusts) or 'nobody'}"]
        said += [f"b3 {self.b3}"] if self.b3 else []
        said += ["exported"] if self.recorder is not None else []
        return f"Trace({', '.join(said)})"

    def wrap(self, handler: Handler) -> Handler:
        """A handler whose exchanges belong to a trace."""
        bits, below, b3, recorder = self.hops.random.getrandbits, self.below, self.b3, self.recorder
        concealed = CONTEXT_FIELDS | B3_FIELDS if b3 else CONTEXT_FIELDS

        def traced(exchange: Exchange) -> Awaitable[Response]:
            exchange.hidden_headers = exchange.hidden_headers | concealed if exchange.hidden_headers else concealed
            fields = exchange.fields
            if b"traceparent" in fields or b"baggage" in fields or (b3 and not B3_FIELDS.isdisjoint(fields)):
                self._received(exchange)
            else:
                # `enter`, without the calls: the usual case. Of the trace 16 bytes, a hyphen, and 8 of the span.
                ids = bits(192).to_bytes(24, "big").hex("-", -16)
                exchange.trace_id = ids[:32]
                sampled = ids[16:32] < below
                if b3 or (sampled and recorder is not None):
                    self._begin(exchange, ids, sampled=sampled)
                else:
                    line = (b"traceparent", f"00-{ids}-0{3 if sampled else 2}".encode())
                    exchange.extra_headers += (line,)
            return handler(exchange)

        return traced

    def enter(self, exchange: Exchange) -> None:
        """Assign a request that no backend gets to a trace: that of its headers, or a new one."""
        fields = exchange.fields
        if b"traceparent" in fields or (self.b3 and not B3_FIELDS.isdisjoint(fields)):
            self._received(exchange)
            return
        ids = self.hops.random.getrandbits(192).to_bytes(24, "big").hex("-", -16)
        if ids[16:32] < self.below:
            self._begin(exchange, ids, sampled=True)
        else:
            exchange.trace_id = ids[:32]

    def _received(self, exchange: Exchange) -> None:
        parent: Parent | None = None
        if self.trusts_peers if exchange.peer_trusted else self.trusts_strangers:
            parent = parent_in(exchange.headers, exchange.fields, b3=bool(self.b3))
            if b"baggage" in exchange.fields:
                exchange.extra_headers += baggage_lines(exchange.headers)
        if parent is not None and parent.trace:
            self._continue(exchange, parent)
            return
        ids = self.hops.random.getrandbits(192).to_bytes(24, "big").hex("-", -16)
        decided = None if parent is None else parent.sampled
        self._begin(exchange, ids, sampled=ids[16:32] < self.below if decided is None else decided)

    def _begin(self, exchange: Exchange, ids: str, *, sampled: bool) -> None:
        trace, own = ids[:32], ids[33:]
        exchange.trace_id = trace
        flags = RANDOM | SAMPLED if sampled else RANDOM
        if sampled and self.recorder is not None:
            exchange.span = Span(trace, own, flags, self.recorder, self.hops.random, self.paths, b3=self.b3)
            exchange.extra_headers += exchange.span.lines
        else:
            exchange.extra_headers += context_lines(trace, own, flags, self.b3)

    def _continue(self, exchange: Exchange, parent: Parent) -> None:
        trace = exchange.trace_id = parent.trace
        if parent.unchanged and not parent.sampled and not self.b3 and b"tracestate" not in exchange.fields:
            exchange.extra_headers += ((b"traceparent", exchange.fields[b"traceparent"]),)  # the usual case
            return
        state: Lines = () if parent.b3 or b"tracestate" not in exchange.fields else state_lines(exchange.headers)
        sampled, flags = parent.sampled, parent.flags
        if sampled is None:
            sampled = trace[16:] < self.below
            flags = SAMPLED if sampled else 0
        if sampled and self.recorder is not None:
            own = self.hops.random.randbytes(8).hex()
            recorder, ids = self.recorder, self.hops.random
            span = exchange.span = Span(trace, own, flags, recorder, ids, self.paths, parent.span, self.b3)
            span.state = b",".join([value for _, value in state])
            exchange.extra_headers += span.lines + state
        elif parent.b3 and parent.sampled is not None:
            exchange.extra_headers += (*context_lines(trace, parent.span, flags), *parent.b3)
        else:
            exchange.extra_headers += context_lines(trace, parent.span, flags, self.b3) + state


def for_route(context: Context, route: RouteConfig) -> Trace | None:
    """The policy; None if tracing is off."""
    if not is_on(context):
        return None
    config = context.configuration.middleware.trace
    hops = context.plan.need("trace", Hops, ("middleware.yaml", ("trace",)))
    recorder = context.once(
        "span recorder",
        lambda: span_recorder(
            context, frozenset(name for scheme in schemes_of(context).values() for name in scheme.locations.headers)
        ),
    )
    share = share_of(config, os.environ, exported=recorder is not None) if route.trace is None else route.trace.sample
    b3 = config.b3 or b3_of(os.environ)
    trust = config.trust
    return Trace(hops, threshold(share), trust != "never", trust == "always", b3, recorder, route.all_paths)


def without_route(context: Context) -> Trace | None:
    """The policy for requests without a route."""
    made = for_route(context, RouteConfig.model_construct(path="/", target="none"))
    return None if made is None else replace(made, paths=())


def is_on(context: Context) -> bool:
    """Whether requests belong to traces: where anything is said of them, or they are exported."""
    middleware = context.configuration.middleware
    said = middleware.trace.is_on
    return exported(middleware) is not None if said is None else said


def share_of(config: TraceConfig, environment: Mapping[str, str], *, exported: bool) -> float:
    """How many of the traces that begin here are recorded, by OpenTelemetry's variables where nothing else says it.

    A parent's decision is kept with every sampler. `exported`: there is somewhere for spans to go.
    """
    if config.sample is not None:
        return config.sample
    sampler = environment.get("OTEL_TRACES_SAMPLER", "").strip().removeprefix("parentbased_")
    if sampler == "traceidratio":
        text = environment.get("OTEL_TRACES_SAMPLER_ARG", "")
        try:
            ratio = float(text)
        except ValueError:
            return 1.0  # as the specification has it
        return ratio if 0 <= ratio <= 1 else 1.0
    return _SHARES.get(sampler, DEFAULT_SHARE if exported else 0.0)


def b3_of(environment: Mapping[str, str]) -> str:
    """How B3 is sent, by OpenTelemetry's variable."""
    named = {name.strip() for name in environment.get("OTEL_PROPAGATORS", "").split(",")}
    return "single" if "b3" in named else "multi" if "b3multi" in named else ""


DECLARATION: Final[Declaration] = Declaration("trace", for_route, guards_quota=True, compiled=True, by_hand=True)

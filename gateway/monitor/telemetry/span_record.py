"""The record of a sampled exchange until it is sent: a tuple, made when the exchange is over."""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.errors import GatewayError, described
from gateway.http import Exchange, Outcome
from gateway.http.messages import Attempt
from gateway.http.model_record import ModelRecord
from gateway.http.redaction import without_userinfo
from gateway.http.span import Span, Tried
from gateway.monitor.telemetry.pipeline import Pipeline

LONGEST: Final = 2048  # characters of a text
_EMPTY_SIZE: Final = 1000  # bytes of a record, without its texts and attempts
_ATTEMPT_SIZE: Final = 700  # the same of an attempt
_MODEL_SIZE: Final = 3000  # the same of what was decided about a request to a model


class SpanRecord(NamedTuple):
    """One exchange."""

    span: Span
    at: float  # Unix time
    started: float  # time.perf_counter()
    seconds: float
    method: str
    scheme: str
    host: str  # with its port, where it has one
    path: str  # as the client sent it
    own_path: str  # in the form of its route
    query: bytes
    target_path: str  # as it was sent
    version: str
    status: int  # 0: none was sent
    received: int
    sent: int
    client: str
    peer: str
    agent: bytes
    route: str | None
    consumer: str | None
    tenant: str | None
    request_id: str
    cache: str | None
    refused_by: str | None
    error: str  # its kind; empty where there was none
    why: str
    gone: bool  # the client disconnected
    attempts: tuple[Tried, ...]
    model: ModelRecord | None = None


def record_of(
    span: Span, exchange: Exchange, outcome: Outcome, *, without_agent: bool = False
) -> tuple[SpanRecord, int]:
    """The record of an exchange that is over, and its size in bytes. `without_agent`: that header is a credential."""
    error, identity, status = exchange.error, exchange.identity, outcome.status
    kind, why, gone = "", "", False
    if error is not None:
        kind = error.kind.slug if isinstance(error, GatewayError) else type(error).__qualname__
        why, gone = described(error)[:LONGEST], kind == "client-gone"
    path, query = without_userinfo(exchange.original_path)[:LONGEST], exchange.query[:LONGEST]
    agent = b"" if without_agent else exchange.fields.get(b"user-agent", b"")[:LONGEST]
    attempts = tuple(span.attempts)
    record = SpanRecord(
        span,
        outcome.at,
        outcome.started,
        outcome.seconds,
        exchange.method[:LONGEST],
        exchange.scheme,
        without_userinfo(exchange.outer_host or exchange.host)[:LONGEST],
        path,
        exchange.path[:LONGEST],
        query,
        exchange.target_path[:LONGEST],
        exchange.http_version,
        0 if gone and status == 499 else status,
        outcome.received,
        outcome.sent,
        exchange.client,
        exchange.peer,
        agent,
        exchange.route,
        None if identity is None else identity.consumer[:LONGEST],
        None if identity is None or identity.tenant is None else identity.tenant[:LONGEST],
        exchange.request_id,
        exchange.cache,
        next((decision.rule for decision in exchange.decisions if decision.refuses), None),
        kind,
        why,
        gone,
        attempts,
        exchange.model,
    )
    texts = 3 * len(path) + len(query) + len(agent) + len(why) + len(span.state)
    if (model := exchange.model) is not None:
        texts += _MODEL_SIZE + sum(len(text) for text in model.content or () if text)
    return record, _EMPTY_SIZE + texts + _ATTEMPT_SIZE * len(attempts)


class SpanRecorder:
    """Puts what is over into the pipeline of the traces, which a reload may change meanwhile. A Recorder."""

    def __init__(self) -> None:
        self._pipeline: Pipeline[SpanRecord] | None = None
        self._without_agent = False

    def go_on_in(self, pipeline: Pipeline[SpanRecord], concealed: frozenset[bytes]) -> None:
        """Use this for exchanges that end from now on. `concealed`: headers that hold credentials."""
        self._pipeline, self._without_agent = pipeline, b"user-agent" in concealed

    def ended(self, span: Span, exchange: Exchange, outcome: Outcome) -> None:
        """See `Recorder`."""
        if self._pipeline is not None:
            self._pipeline.put(*record_of(span, exchange, outcome, without_agent=self._without_agent))


def ended_after(attempt: Attempt, otherwise: float) -> float:
    """Seconds from the beginning of an attempt to its end; `otherwise` where it had none of its own."""
    if attempt.took:
        return attempt.took
    return otherwise if attempt.seconds is None else attempt.waited + attempt.seconds

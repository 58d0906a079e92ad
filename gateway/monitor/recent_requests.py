"""The last requests, as they went: what `gateway last` shows.

Keeping one costs a tuple of what the exchange holds anyway; it is formatted on demand. Of texts that
clients choose, the beginning is kept, and neither queries nor headers, where secrets may stand: 200 requests take
less than a megabyte.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.errors import ErrorKind, PolicyError, described
from gateway.http import Decision, Exchange, Identity, Outcome
from gateway.http.messages import Allowance, Attempt
from gateway.http.model_record import ModelRecord
from gateway.http.redaction import without_userinfo
from gateway.monitor.model_summary import summary

MOST: Final = 200
MOST_TEXT: Final = 1024  # characters of a path or a host
_LIMITS: Final = ("rate_limit:", "quota:", "budget:", "tool_quota:")  # how rules begin that count requests

_Kept = tuple[
    Outcome,
    str,  # request id
    str,  # client
    bool,  # whether it sent an X-Forwarded-For which is not believed
    Identity | None,
    str | None,  # whose credential was refused
    str,  # method
    str,  # host
    str,  # path
    str,  # original path
    str,  # path that was sent
    str | None,  # route
    str | None,  # upstream
    str | None,  # cache
    tuple[Attempt, ...],
    tuple[Decision, ...],
    tuple[tuple[str, Allowance, Sequence[int]], ...],
    str | None,  # error
    ModelRecord | None,
]


@dataclass(frozen=True, slots=True)
class RecentRequest:
    """One request that is over."""

    request_id: str
    at: float  # Unix time at which it came
    seconds: float
    client: str
    claimed_client: bool  # the peer, which is no trusted proxy, has sent an X-Forwarded-For
    consumer: str | None
    credential: str | None  # its fingerprint
    claimed_consumer: str | None  # whose credential was refused, where that is known
    method: str
    host: str
    path: str  # in the form of its route
    original_path: str
    sent_path: str  # empty where nothing was sent
    route: str | None
    upstream: str | None
    status: int
    bytes_in: int
    bytes_out: int
    cache: str | None
    attempts: Sequence[Attempt]
    decisions: Sequence[Decision]
    limits: Sequence[str]  # in which it was counted, and what was left; and which refused it
    error: str | None
    model: dict[str, Any] | None  # what was decided about a request to a model, and what it took


class RecentRequests:
    """Holds the last ones. All on the event loop."""

    def __init__(self, most: int = MOST) -> None:
        self._kept: deque[_Kept] = deque(maxlen=most)
        self.number = 0  # of requests that have been reported

    def report(self, exchange: Exchange, outcome: Outcome) -> None:
        """An exchange is over."""
        self.number += 1
        error, host, path, identity = exchange.error, exchange.host, exchange.path, exchange.identity
        if identity is not None and identity.claims:  # of which a token may have kilobytes
            identity = Identity(identity.consumer, identity.scheme, fingerprint=identity.fingerprint)
        original, sent = exchange.original_path, exchange.target_path
        if max(len(host), len(path), len(original), len(sent)) > MOST_TEXT:
            host, path, original, sent = _beginning(host), _beginning(path), _beginning(original), _beginning(sent)
        self._kept.append(
            (
                outcome,
                exchange.request_id,
                exchange.client,
                not exchange.peer_trusted and b"x-forwarded-for" in exchange.fields,
                identity,
                exchange.claimed_consumer,
                exchange.method,
                host,
                path,
                original,
                sent,
                exchange.route,
                exchange.upstream,
                exchange.cache,
                exchange.attempts,
                exchange.decisions,
                exchange.counted,
                None if error is None else _beginning(_why(error)),
                exchange.model,
            )
        )

    def __iter__(self) -> Iterator[RecentRequest]:
        """The newest first."""
        for kept in reversed(self._kept):
            yield _shown(kept)

    @property
    def kept(self) -> int:
        """How many there are."""
        return len(self._kept)

    def since(self, number: int) -> list[RecentRequest]:
        """Those that came behind so many, the oldest first, as far as they are still kept."""
        newer = min(self.number - number, len(self._kept))
        return [_shown(self._kept[-index]) for index in range(newer, 0, -1)]


def _why(error: BaseException) -> str:
    """With the failure of a policy, which operators need not look for in the log then."""
    return f"{described(error)}: {error.failure}" if isinstance(error, PolicyError) else described(error)


def _beginning(text: str) -> str:
    return text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + "..."


def _refusing(decisions: Sequence[Decision]) -> Iterator[str]:
    """Of the limits among these rules, those that refused the request, or would have."""
    for decision in decisions:
        if decision.rule.startswith(_LIMITS) and decision.refuses:
            yield f"{decision.rule}: refused it"
        elif decision.rule.startswith(_LIMITS) and decision.verdict == "shadow-deny":
            yield f"{decision.rule}: would have refused it (shadow)"


def _of_service(error: str | None) -> Iterator[str]:
    """The limit of a service that refused the request, in the words of the error, which name both."""
    slug, _, detail = (error or "").partition(": ")
    if slug == ErrorKind.CONCURRENCY_LIMIT.slug:
        yield f"{detail}: refused it"


def _shown(kept: _Kept) -> RecentRequest:
    outcome, request_id, client, claimed_client, identity, claimed, method, host, path, original, sent = kept[:11]
    route, upstream, cache, attempts, decisions, counted, error, model = kept[11:]
    return RecentRequest(
        request_id=request_id,
        at=outcome.at,
        seconds=outcome.seconds,
        client=client,
        claimed_client=claimed_client,
        consumer=None if identity is None else identity.consumer,
        credential=(identity and identity.fingerprint) or None,
        claimed_consumer=claimed,
        method=method,
        host=without_userinfo(host),
        path=without_userinfo(path),
        original_path=without_userinfo(original),
        sent_path=without_userinfo(sent),
        route=route,
        upstream=upstream,
        status=outcome.status,
        bytes_in=outcome.received,
        bytes_out=outcome.sent,
        cache=cache,
        attempts=attempts,
        decisions=decisions,
        limits=[
            *(f"{rule}: {limit.left(state)} are left" for rule, limit, state in counted),
            *_refusing(decisions),
            *_of_service(error),
        ],
        error=error,
        model=None if model is None else {"backend": model.backend or None} | summary(model),
    )

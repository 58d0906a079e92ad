"""Reports of requests to the bridge to an agent network: each one that is over, up to a bound."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

from gateway.algorithms.token_bucket import TokenBucket
from gateway.auth.credentials import authorization
from gateway.bus.bus import Bus
from gateway.config.models import AuthFile
from gateway.events import RequestReport, credential_fingerprint
from gateway.http import Exchange, Outcome
from gateway.http.parameters import cookie_values
from gateway.live import Tasks

MOST_LOGGED: Final = 200  # requests of a second
MOST_WAITING: Final = 1000  # that are not sent yet
ROUND_SECONDS: Final = 0.05  # in which they are sent together
MOST_SENT: Final = 20  # in a round: what one costs on its way, each request beside it waits for
MOST_CREDENTIAL: Final = 8192  # characters
MOST_ATTEMPTS: Final = 8

Shown = tuple[str, bytes]
"""What kind of credential a request showed (`api_key`, `bearer`), and the credential."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where auth.yaml looks for API keys. (The query is not kept after a request.)"""

    headers: tuple[bytes, ...] = ()
    cookies: tuple[bytes, ...] = ()
    schemes: frozenset[str] = frozenset()  # their names

    @staticmethod
    def of(auth: AuthFile) -> Places:
        """Those of all schemes of kind `api_key`."""
        names = frozenset(name for name, scheme in auth.schemes.items() if scheme.kind == "api_key")
        settings = [auth.schemes[name].settings for name in names]
        headers = tuple(each.header.lower().encode() for each in settings if each.header)
        return Places(headers, tuple(each.cookie.encode() for each in settings if each.cookie), names)

    def shown(self, exchange: Exchange) -> Shown | None:
        """The credential of a request."""
        for header in self.headers:
            if value := exchange.fields.get(header):
                return "api_key", value
        for cookie in self.cookies:
            if values := cookie_values(exchange.headers, exchange.fields, cookie):
                return "api_key", values[0]
        bearer = authorization(exchange, b"bearer")
        return ("bearer", bearer) if bearer else None


class RequestReporter:
    """Says of each request what was decided about it, and how its attempts ended."""

    def __init__(self, bus: Bus) -> None:
        self.tasks = Tasks()
        self.left_out = 0
        self._places = Places()
        self._send_credentials = False
        self._bus = bus
        self._allowed = TokenBucket(MOST_LOGGED)
        self._reports: deque[RequestReport] = deque(maxlen=MOST_WAITING)

    async def start(self) -> None:
        """Begin."""
        self.tasks.supervise("reports of requests to the bridge", self._run)

    async def stop(self) -> None:
        """Send those that wait."""
        await self.tasks.end()
        self._send(MOST_WAITING)

    def configure(self, places: Places, *, send_credentials: bool) -> None:
        """Look for credentials there; say them in clear, or not."""
        self._places, self._send_credentials = places, send_credentials

    def measures(self) -> dict[str, float]:
        """See `Measured`."""
        return {"gateway_agents_requests_left_out_total": self.left_out}

    def report(self, exchange: Exchange, outcome: Outcome) -> None:
        """An exchange is over. See `Report`."""
        if self._allowed.take(outcome.at):
            self._reports.append(self._made(exchange, outcome))
        else:
            self.left_out += 1

    def _made(self, exchange: Exchange, outcome: Outcome) -> RequestReport:
        identity, service = exchange.identity, exchange.upstream or ""
        client = identity.consumer if identity is not None else exchange.claimed_consumer or exchange.client
        denied = any(decision.refuses for decision in exchange.decisions)
        shown = self._places.shown(exchange)
        known, kind = "", None
        if identity is not None and identity.fingerprint:  # of a key in a query, of a password
            known, kind = identity.fingerprint, "api_key" if identity.scheme in self._places.schemes else "other"
        return RequestReport.model_construct(
            request_id=exchange.request_id[:512],
            path=exchange.original_path[:8192],
            client=client[:512],
            decision="deny" if denied else "allow",
            latency_ms=round(outcome.seconds * 1000, 1),
            credential=shown[0] if shown is not None else kind,
            fingerprint=credential_fingerprint(shown[1]) if shown is not None else known,
            api_key=_text(shown) if self._send_credentials and shown is not None else None,
            attempts=tuple(
                (service[:512], each.endpoint[:512], each.failure is not None or each.status >= 500)
                for each in exchange.attempts[:MOST_ATTEMPTS]
            ),
        )

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            self._send(MOST_SENT)

    def _send(self, most: int) -> None:
        for _ in range(min(most, len(self._reports))):
            self._bus.publish(self._reports.popleft())


def _text(shown: Shown) -> str:
    return shown[1].decode("utf-8", "replace")[:MOST_CREDENTIAL]

"""Signing in to the page: a token once, in exchange for a cookie that may read, for some hours.

`GET /session`, `POST /session`, `DELETE /session`. The cookie is `HttpOnly`, so that no script can read it, and
`SameSite=Strict`, so that no page of another site can have it sent. It never changes anything: that needs a token in
a header. A session ends with its token: when that is taken out of middleware.yaml, too.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.answers import Refused, json_answer, json_body
from gateway.admin.cookie_sessions import SECONDS, CookieSessions
from gateway.admin.operations import Operation
from gateway.admin.tokens import Credentials, Holder, hash_of
from gateway.algorithms.gcra import Window, debt, wait, whole_seconds
from gateway.config.values.instants import format_instant

logger = logging.getLogger("gateway.admin")

TRIES: Final = Window(limit=6, seconds=60, burst=6)  # wrong tokens of one address
MOST_ADDRESSES: Final = 1000  # that are remembered for wrong tries; the oldest is forgotten first
MAX_BODY: Final = 1024
_EXAMPLE: Final = '{"token": "gwa_..."}'


class Sessions(CookieSessions[str]):
    """Those who have signed in, with what their tokens hash to."""

    def __init__(self, port: int, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__("gateway_session", port, clock)

    def holder(self, cookies: str, credentials: Credentials) -> Holder | None:
        """Who sends these cookies; may read only, whatever the token may. None where no session goes on."""
        known = self.first(cookies, credentials.holder_of)
        return None if known is None else Holder(known.name, "read")


class WrongTries:
    """How often each address may try a token that is none (GCRA)."""

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._paid_back: dict[str, int] = {}

    def seconds_to_wait(self, address: str) -> int:
        """Seconds until this address may try again; 0: now."""
        owed = debt(self._paid_back.get(_network(address), 0), self._clock())
        return whole_seconds(wait(owed, TRIES.interval, TRIES.capacity, 1))

    def count(self, address: str) -> None:
        """Record a failed attempt."""
        network, now = _network(address), self._clock()
        paid_back = max(self._paid_back.pop(network, 0), now) + TRIES.interval
        while len(self._paid_back) >= MOST_ADDRESSES:
            del self._paid_back[next(iter(self._paid_back))]
        self._paid_back[network] = paid_back


def session_operations(sessions: Sessions, credentials: Callable[[], Credentials], *, open_: bool) -> list[Operation]:
    """The API of signing in. `open_`: every client that reaches the port may read."""
    api = _Api(sessions, credentials, open_=open_)
    text = {"type": "string"}
    body = {"type": "object", "required": ["token"], "properties": {"token": text}, "additionalProperties": False}
    refusals = {
        400: "it has no token",
        401: "the token is not known",
        415: "the body is not application/json",
        429: "too many wrong tokens from this address; Retry-After says when to try again",
        503: "no configuration is loaded",
    }
    return [
        Operation("GET", "/session", api.shown, "The user of the page's session.", open=True),
        Operation(
            "POST",
            "/session",
            api.begin,
            "Sign in to the page.",
            body=body,
            refusals=refusals,
            description="The answer sets a cookie, which may read for 12 hours, and change nothing.",
            open=True,
        ),
        Operation("DELETE", "/session", api.end, "Sign out.", open=True),
    ]


class _Api:
    def __init__(self, sessions: Sessions, credentials: Callable[[], Credentials], *, open_: bool) -> None:
        self._sessions = sessions
        self._credentials = credentials
        self._open = open_
        self._tries = WrongTries()

    async def shown(self, request: Request) -> Response:
        holder: Holder | None = request.state.holder
        return json_answer(
            {
                "name": holder and holder.name,
                "signed_in": self._sessions.holder(_cookies(request), self._credentials()) is not None,
                "may_read": self._open or holder is not None,
            }
        )

    async def begin(self, request: Request) -> Response:
        address = request.client.host if request.client is not None else ""
        seconds = self._tries.seconds_to_wait(address)
        if seconds:
            message = f"too many wrong tokens from {address}; try again in {seconds} s"
            return json_answer({"error": message}, 429, {"retry-after": str(seconds)})
        fields = await json_body(request, MAX_BODY, "the token", _EXAMPLE)
        token, credentials = fields.get("token"), self._credentials()
        if not isinstance(token, str) or fields.keys() != {"token"}:
            raise Refused(400, f"expected a JSON object such as {_EXAMPLE}")
        if not credentials.loaded:
            raise Refused(503, "no configuration is loaded, so no token is known yet")
        holder = credentials.holder_of(token_hash := hash_of(token.strip()))
        if holder is None:
            self._tries.count(address)
            logger.warning("a token that is not known was tried at the page, from %s", address)
            raise Refused(401, "unknown token; `gateway admin token new` creates one")
        request.state.holder = holder  # for the audit log
        value = self._sessions.begin(token_hash)
        ends = format_instant(time.time() + SECONDS)
        set_cookie = self._sessions.cookie(value, secure=_over_https(request))
        return json_answer({"name": holder.name, "ends_at": ends}, headers={"set-cookie": set_cookie})

    async def end(self, request: Request) -> Response:
        self._sessions.end(_cookies(request))
        set_cookie = self._sessions.cookie("", secure=_over_https(request))
        return json_answer({"name": None}, headers={"set-cookie": set_cookie})


def _over_https(request: Request) -> bool:
    """Whether the browser has the page by https, from a proxy: this port has no TLS itself."""
    return request.headers.get("origin", "").lower().startswith("https:")


def _cookies(request: Request) -> str:
    return cookies_of(request.headers.getlist("cookie"))


def cookies_of(lines: list[str]) -> str:
    """Several `Cookie` headers as one: HTTP/2 and some proxies divide them (RFC 9113, 8.2.3)."""
    return "; ".join(lines)


def _network(address: str) -> str:
    """One address of IPv4, one /64 of IPv6: what one client has."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)

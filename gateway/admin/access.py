"""Who may use the admin port: the `Host` and `Origin` of a request, and its token, or the cookie of the page.

`Host` stops DNS rebinding: a page of another site, whose name suddenly means 127.0.0.1, still says its own name.
`Origin` stops forms and scripts of other sites. Both are compared with what the port listens on and with
`admin.hosts` of middleware.yaml.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.admin.browser import guarding
from gateway.admin.listening import Listening
from gateway.admin.sessions import Sessions, cookies_of
from gateway.admin.tokens import Credentials, Holder, hash_of
from gateway.config.models.admin import Admin
from gateway.monitor.audit_log import AdminChange
from gateway.outside.throttled_log import ThrottledLog

logger = logging.getLogger("gateway.admin")

READING = frozenset({"GET", "HEAD"})
PAGE = "/"
FILES = "/page/"  # of the page
SESSION = "/session"
MESSAGES = "/agents/messages"  # of the bridge, every few seconds: no change by an operator
NOTHING_LOADED = "no configuration is loaded, so no token is known yet: the log says what to correct in the files"
MAX_PATH = 2048  # characters of a request in the audit log
LOG_SECONDS = 10.0  # between two lines about refused requests


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request may not do what it wants."""

    status: int
    reason: str


def decide(
    method: str, path: str, headers: Headers, listening: Listening, credentials: Credentials, sessions: Sessions
) -> Holder | Refusal | None:
    """Who asks; None: any client, which may read what this is. A pure decision."""
    if (foreign := _foreign(method, path, headers, listening, credentials.settings)) is not None:
        return foreign
    if "authorization" not in headers and (method in READING or path == SESSION):
        holder = sessions.holder(cookies_of(headers.getlist("cookie")), credentials)
        if holder is not None or listening.loopback or _is_open(path):
            return holder
    return _holder(method, headers, listening, credentials) if credentials.loaded else Refusal(503, NOTHING_LOADED)


def _is_open(path: str) -> bool:
    """Whether there is nothing to hide: the page without what it shows, and where to sign in."""
    return path in (PAGE, SESSION) or path.startswith(FILES)


def _foreign(method: str, path: str, headers: Headers, listening: Listening, settings: Admin) -> Refusal | None:
    """Why the request does not come from here."""
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not (hosts[0].lower() in settings.hosts or is_ours(hosts[0], listening, settings.hosts)):
        named = ", ".join(hosts) or "none"
        return Refusal(
            421, f"the admin port does not answer to this Host ({named}); add it to admin.hosts of middleware.yaml"
        )
    origins = headers.getlist("origin")
    if any(not _is_same_origin(origin, hosts[0], settings) for origin in origins):
        return Refusal(403, "a page of another origin may not use the admin port; see admin.hosts of middleware.yaml")
    followed_link = path == PAGE and method in READING and headers.get("sec-fetch-dest") == "document"
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not followed_link:
        return Refusal(403, "a page of another site may not use the admin port")
    return None


def is_ours(authority: str, listening: Listening, hosts: Collection[str]) -> bool:
    """Whether a `Host` means this port: by the address that it listens on, or as one of `hosts`."""
    try:
        parts = urlsplit("//" + authority)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    if host is None or parts.netloc != authority or "@" in authority or (port is None and authority.endswith(":")):
        return False
    return listening.is_meant(host) or host in hosts or f"[{host}]" in hosts


def _is_same_origin(origin: str, host: str, settings: Admin) -> bool:
    scheme, separator, authority = origin.lower().partition("://")
    known = authority == host.lower() or authority in settings.hosts
    return known and bool(separator) and scheme in ("http", "https")


def _holder(method: str, headers: Headers, listening: Listening, credentials: Credentials) -> Holder | Refusal:
    tokens = headers.getlist("authorization")
    if not tokens:
        return Refusal(401, _needs_token(method, listening, credentials))
    scheme, _, token = tokens[0].partition(" ")
    if len(tokens) > 1 or scheme.lower() != "bearer":
        return Refusal(401, "send one header, Authorization: Bearer TOKEN")
    holder = credentials.holder_of(hash_of(token.strip()))
    if holder is None:
        return Refusal(401, "unknown token; `gateway admin token new` creates one")
    if holder.role == "read" and method not in READING:
        return Refusal(403, f"the token of {holder.name} may only read; use one with role: write")
    return holder


def _needs_token(method: str, listening: Listening, credentials: Credentials) -> str:
    what = "reading" if method in READING else "changing anything"
    where = "GATEWAY_ADMIN_TOKEN, or Authorization: Bearer TOKEN"
    if not listening.loopback:
        return f"{what} needs a token ({where}); `gateway admin token new` makes one"
    if credentials.local is None:
        return f"{what} needs a token ({where}), and none could be written here; add one under admin.tokens"
    return f"{what} needs a token ({where}); the one of this machine is in {credentials.local.path}"


class AccessControl:
    """An ASGI middleware in front of the admin API. The holder of the token is `scope["state"]["holder"]`."""

    def __init__(
        self,
        app: ASGIApp,
        listening: Listening,
        credentials: Callable[[], Credentials],
        sessions: Sessions,
        report: Callable[[AdminChange], None] = lambda _: None,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        """`report` learns of every request that was to change something, with its answer; `end` ends answers that go
        on for ever."""
        self.end = end
        self._app = app
        self._sessions = sessions
        self._report = report
        self._listening = listening
        self._credentials = credentials
        self._refusals = ThrottledLog(logger.warning, LOG_SECONDS)  # a page may try again and again

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        if scope["type"] != "http":
            return  # there are no WebSockets here, and no lifespan
        send = guarding(send)
        if scope["method"] in READING:
            await self._decide(scope, receive, send)
            return
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._decide(scope, receive, watched)
        finally:
            change = _change(scope, status or 500)
            if change.holder is not None:
                outcome = "done" if change.status < 400 else f"not done, {change.status}"
                level = logging.DEBUG if scope["path"] == MESSAGES and change.status < 400 else logging.INFO
                logger.log(level, "%s %s by %s: %s", change.method, scope["path"], change.holder, outcome)
            self._report(change)

    async def _decide(self, scope: Scope, receive: Receive, send: Send) -> None:
        decided = self._decided(scope)
        if isinstance(decided, Refusal):
            if decided.status != 401 or Headers(scope=scope).get("authorization") is not None:
                # Not for a 401 without a token: a command first asks without one.
                client = (scope.get("client") or ("an unknown address",))[0]
                self._refusals.line("refused %s %r of %s: %s", scope["method"], scope["path"], client, decided.reason)
            await self._answer(decided)(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["holder"] = decided
        state["no_token"] = lambda reason: self._answer(Refusal(401, reason))
        state["still_allowed"] = lambda: not isinstance(self._decided(scope), Refusal)
        await self._app(scope, receive, send)

    def _decided(self, scope: Scope) -> Holder | Refusal | None:
        headers, path = Headers(scope=scope), scope["path"]
        return decide(scope["method"], path, headers, self._listening, self._credentials(), self._sessions)

    def _answer(self, refusal: Refusal) -> JSONResponse:
        credentials = self._credentials()
        content = {"error": refusal.reason}
        headers: Mapping[str, str] = {}
        if refusal.status == 401:
            headers = {"www-authenticate": "Bearer"}
            if self._listening.loopback and credentials.local is not None:
                content["token_file"] = str(credentials.local.path)
        return JSONResponse(content, refusal.status, headers)


def _change(scope: Scope, status: int) -> AdminChange:
    holder = scope.get("state", {}).get("holder")
    query = scope["query_string"].decode("latin-1")
    path = scope["path"] + (f"?{query}" if query else "")
    client = (scope.get("client") or ("",))[0]
    return AdminChange(time.time(), holder and holder.name, client, scope["method"], path[:MAX_PATH], status)

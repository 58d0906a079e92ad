"""Who may ask the control plane: an ASGI application around it, which knows the caller before anything is done.

With an auth.yaml beside control-plane.yaml, its schemes say who calls, and `roles` what for. Without one, only this
machine is listened to, and the token in its state directory may do everything.

`Origin` and `Sec-Fetch-Site` stop forms and scripts of other sites, whatever they carry. `Host` stops DNS rebinding
where the token of this machine is what counts, and everywhere once `hosts` is set.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final
from uuid import UUID

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.admin.access import is_ours
from gateway.admin.browser import guarding
from gateway.admin.cookie_sessions import CookieSessions
from gateway.admin.listening import Listening
from gateway.admin.sessions import WrongTries, cookies_of
from gateway.control_plane.callers import Caller, granted
from gateway.control_plane.problems import Problem, answer
from gateway.control_plane.recognising import Shown
from gateway.control_plane.refusals import Refusals
from gateway.control_plane.rules import Rules
from gateway.errors import GatewayError
from gateway.http.bodies import Body, WholeBody
from gateway.outside.throttled_log import ThrottledLog

logger = logging.getLogger("gateway.control_plane")

READING: Final = frozenset({"GET", "HEAD"})
INTERNAL: Final = "/api/internal/"  # what gateways ask, with tokens of their own
OPEN: Final = frozenset({"/", "/session", "/health", "/ready", "/api/v1/openapi.json"})
FILES: Final = "/page/"  # of the page
METRICS: Final = "/metrics"  # counts; open to this machine
MOST_SIGNED: Final = 1024 * 1024  # bytes of a body that a signature covers
LOG_SECONDS: Final = 10.0  # between two lines about refused requests


class Access:
    """Decides about every request."""

    def __init__(
        self,
        rules: Callable[[], Rules],
        listening: Listening,
        organizations: Mapping[str, UUID],
        refusals: Refusals | None = None,
    ) -> None:
        """`rules` are those that hold now. `refusals` writes down what was to change something, and did not."""
        # Begun with an `Authorization`, which is asked about at every request, so that one ends with what it was begun
        # with. Each control plane has its own: what balances several has to send a browser to the same one.
        self.sessions: CookieSessions[bytes] = CookieSessions("control_plane_session", listening.port)
        self.tries = WrongTries()
        self._rules = rules
        self._listening = listening
        self._organizations = organizations
        self._refusals = refusals
        self._log = ThrottledLog(logger.warning, LOG_SECONDS)

    def guarding(self, app: ASGIApp) -> ASGIApp:
        """The application with this in front of it."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                await self._http(app, scope, receive, guarding(send))
            else:
                await app(scope, receive, send)

        return guarded

    async def _http(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith(INTERNAL):
            await app(scope, receive, send)
            return
        refusals = self._refusals if scope["method"] not in READING else None

        async def watched(message: Message) -> None:
            if refusals is not None and message["type"] == "http.response.start" and message["status"] >= 400:
                await refusals.record(scope, message["status"])
            await send(message)

        try:
            receive = await self._admit(scope, receive)
        except Problem as problem:
            if problem.status != 401 or Headers(scope=scope).get("authorization") is not None:
                where = scope["method"], scope["path"][:200], scope["state"]["client"]
                self._log.line("refused %s %r of %s: %s", *where, problem.detail)
            await answer(problem)(scope, receive, watched)
        else:
            await app(scope, receive, watched)

    async def _admit(self, scope: Scope, receive: Receive) -> Receive:
        """Put who calls, and from where, into `scope["state"]`; what the application is to receive. Raises Problem."""
        state, shown, rules = scope.setdefault("state", {}), Shown.of(scope), self._rules()
        state["caller"], state["client"] = None, rules.recognising.client(shown)
        headers, method, path = Headers(scope=scope), scope["method"], scope["path"]
        refuse_foreign(method, path, headers, self._listening, rules)
        opened = path in OPEN or path.startswith(FILES) or (path == METRICS and self._listening.loopback)
        if "authorization" not in headers and (method in READING or path == "/session"):
            value = self.sessions.first(cookies_of(headers.getlist("cookie")), lambda authorization: authorization)
            if value is not None:
                shown = shown.with_authorization(value)
        elif not opened and ("signature-input" in headers or "content-digest" in headers):
            body, receive = await _whole(receive)
            state["caller"] = await self.known(shown, body)
            return receive
        try:
            state["caller"] = await self.known(shown)
        except Problem:
            if not opened:
                raise
        return receive

    async def known(self, shown: Shown, body: Body | None = None) -> Caller:
        """Who shows this, with its roles. Raises Problem, 401 or 403."""
        rules = self._rules()
        try:
            identity = await rules.recognising.identity(shown, body)
        except GatewayError as error:
            # A browser that reads for a page is not to ask for a password by itself.
            headers = {name.decode(): value.decode("latin-1") for name, value in error.headers}
            if dict(shown.headers).get(b"sec-fetch-mode", b"navigate") != b"navigate":
                headers.pop("www-authenticate", None)
            raise Problem(error.kind.status, error.public_detail or error.detail, headers=headers) from None
        found = granted(identity, rules.roles)
        if found is None:
            remedy = "give one under `roles` of control-plane.yaml"
            raise Problem(403, f"{identity.consumer} is known, but has no role here; {remedy}")
        organization = self._organizations.get(found.organization)
        if organization is None:
            raise Problem(403, f"the organization {found.organization} is made when the control plane starts next")
        return Caller(identity.consumer, organization, found.roles)


def refuse_foreign(method: str, path: str, headers: Headers, listening: Listening, rules: Rules) -> None:
    """Raises Problem where the request comes from a page of another site, or means another server."""
    hosts = headers.getlist("host")
    if len(hosts) != 1:
        raise Problem(421, "send one Host header")
    host = hosts[0].lower()
    if (rules.local or rules.hosts) and not (host in rules.hosts or is_ours(host, listening, rules.hosts)):
        raise Problem(421, f"the control plane does not answer to this Host ({host[:200]}); add it to `hosts`")
    for origin in headers.getlist("origin"):
        scheme, separator, authority = origin.lower().partition("://")
        if not separator or scheme not in ("http", "https") or authority not in (host, *rules.hosts):
            raise Problem(403, "a page of another origin may not use the control plane; see `hosts`")
    followed_link = path == "/" and method in READING and headers.get("sec-fetch-dest") == "document"
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not followed_link:
        raise Problem(403, "a page of another site may not use the control plane")


async def _whole(receive: Receive) -> tuple[Body | None, Receive]:
    """A body that is read before the application, if there is one, and a way to receive it again. Raises Problem."""
    messages: list[Message] = []
    size, more = 0, True
    while more:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        more = message["type"] == "http.request" and message.get("more_body", False)
        if size > MOST_SIGNED:
            raise Problem(413, "a body that is signed has at most 1 MiB")
    data = b"".join(message.get("body", b"") for message in messages)
    left = iter(messages)

    async def again() -> Message:
        found = next(left, None)
        return await receive() if found is None else found

    return WholeBody(data, []) if data else None, again

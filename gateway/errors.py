"""Everything that can go wrong with a request: one table from kind to status and problem type (RFC 9457).

An error knows where it came from (this gateway, or the upstream behind it) and whether the same request
may be sent again without risk, because nothing of it can have been acted upon.

Its detail is for operators: logs, the audit log and `explain` have it. Where it is about what stands behind the gateway
or within it, clients get a sentence that names none of that, unless `errors: {detail: full}` is set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Final, Literal, TypeVar

Origin = Literal["gateway", "upstream"]

TYPE_PREFIX = "urn:problem-type:gateway:"
REGISTERED_TYPES = {"quota-exceeded": "https://iana.org/assignments/http-problem-types#quota-exceeded"}
"""Types that the IANA registry of problem types (RFC 9457, 4.2) has already."""

_LATER: Final = "try again in a moment"
_BEHIND: Final = "the service behind this route"
PUBLIC_DETAILS: Final[Mapping[str, str]] = {
    "internal-error": "the log of the gateway has the cause, under the id of this request",
    "no-configuration": "the gateway is not set up yet; its operator knows why",
    "overloaded": f"there are too many requests or connections at the moment; {_LATER}",
    "circuit-open": f"{_BEHIND} fails, and gets no requests for a while; try again later",
    "concurrency-limit": f"{_BEHIND} has as many requests at once as it may have; {_LATER}",
    "load-shed": f"there are too many requests at the moment; {_LATER}",
    "auth-unavailable": f"what verifies callers does not answer at the moment; {_LATER}",
    "audit-unavailable": f"requests cannot be recorded at the moment, and without that none is served; {_LATER}",
    "gateway-ended": f"the gateway ended before the response did; {_LATER}",
    "store-unavailable": f"what counts requests does not answer at the moment; {_LATER}",
    "upstream-unresolved": f"the address of {_BEHIND} is not known at the moment; try again later",
    "upstream-refused": f"{_BEHIND} takes no connections at the moment; try again later",
    "upstream-tls": f"the TLS handshake with {_BEHIND} failed; its operator must correct that",
    "upstream-reset": f"{_BEHIND} ended the connection before its response was whole",
    "upstream-bad-response": f"{_BEHIND} sent an invalid response; its operator must correct that",
    "upstream-unavailable": f"{_BEHIND} is not there at the moment; try again later",
    "upstream-down": f"{_BEHIND} was found to be down; try again later",
    "upstream-connect-timeout": f"{_BEHIND} took no connection in time; try again later",
    "upstream-timeout": f"{_BEHIND} did not answer in time",
}
"""The detail for clients in place of one that would name hosts, files, services or settings."""


class ErrorKind(Enum):
    """(problem type, status, title, origin) of each kind of failure. The types are stable: clients match on them."""

    # What the client sent.
    BAD_REQUEST = ("bad-request", 400, "The request is malformed", "gateway")
    AMBIGUOUS_PATH = ("ambiguous-path", 400, "The path could be read in more than one way", "gateway")
    AMBIGUOUS_FIELD = ("ambiguous-field", 400, "A header or parameter could be read in more than one way", "gateway")
    AMBIGUOUS_CREDENTIALS = ("ambiguous-credentials", 400, "More than one credential of one kind was sent", "gateway")
    UNAUTHENTICATED = ("unauthenticated", 401, "The caller is not known", "gateway")
    FORBIDDEN = ("forbidden", 403, "The caller is known, but not allowed to do this", "gateway")
    BLOCKED = ("blocked", 403, "The caller is blocked", "gateway")
    NO_ROUTE = ("no-route", 404, "No route matches", "gateway")
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405, "The route does not take this method", "gateway")
    REQUEST_TIMEOUT = ("request-timeout", 408, "The request was too slow in coming", "gateway")
    BODY_TOO_LARGE = ("body-too-large", 413, "The request body is too large", "gateway")
    URL_TOO_LONG = ("url-too-long", 414, "The URL is too long", "gateway")
    UNSUPPORTED_MEDIA_TYPE = ("unsupported-media-type", 415, "The route does not take this content type", "gateway")
    EXPECTATION_FAILED = ("expectation-failed", 417, "The expectation cannot be met", "gateway")
    UPGRADE_REQUIRED = ("upgrade-required", 426, "Another version of the protocol is needed", "gateway")
    QUOTA_EXCEEDED = ("quota-exceeded", 429, "The limit is used up", "gateway")
    HEADERS_TOO_LARGE = ("headers-too-large", 431, "The request headers are too large", "gateway")
    NOT_IMPLEMENTED = ("not-implemented", 501, "The request needs what this gateway does not do", "gateway")
    VERSION_NOT_SUPPORTED = ("version-not-supported", 505, "Only HTTP/1.0 and HTTP/1.1 are spoken here", "gateway")
    # This gateway itself.
    INTERNAL = ("internal-error", 500, "The gateway failed", "gateway")
    NO_CONFIGURATION = ("no-configuration", 503, "No configuration is loaded", "gateway")
    OVERLOADED = ("overloaded", 503, "The gateway is at its limit", "gateway")
    CIRCUIT_OPEN = ("circuit-open", 503, "The service fails, and is left alone for a while", "gateway")
    CONCURRENCY_LIMIT = ("concurrency-limit", 503, "The service has as many requests as it may have", "gateway")
    LOAD_SHED = ("load-shed", 503, "The gateway has more to do than it can", "gateway")
    MAINTENANCE = ("maintenance", 503, "The service is under maintenance", "gateway")
    AUTH_UNAVAILABLE = ("auth-unavailable", 503, "The caller cannot be verified now", "gateway")
    AUDIT_UNAVAILABLE = ("audit-unavailable", 503, "Requests cannot be recorded now", "gateway")
    STORE_UNAVAILABLE = ("store-unavailable", 503, "The limit cannot be checked now", "gateway")
    GATEWAY_ENDED = ("gateway-ended", 503, "The gateway ended before the response did", "gateway")
    NOT_CACHED = ("not-cached", 504, "Nothing that is stored answers the request", "gateway")
    CLIENT_GONE = ("client-gone", 499, "The connection to the client ended", "gateway")
    # The upstream behind it.
    UPSTREAM_UNRESOLVED = ("upstream-unresolved", 502, "The upstream's name does not resolve", "upstream")
    UPSTREAM_REFUSED = ("upstream-refused", 502, "The upstream refused the connection", "upstream")
    UPSTREAM_TLS = ("upstream-tls", 502, "The TLS handshake with the upstream failed", "upstream")
    UPSTREAM_RESET = ("upstream-reset", 502, "The upstream closed the connection", "upstream")
    UPSTREAM_BAD_RESPONSE = ("upstream-bad-response", 502, "The upstream's response is not valid HTTP", "upstream")
    UPSTREAM_UNAVAILABLE = ("upstream-unavailable", 503, "No upstream endpoint is available", "upstream")
    UPSTREAM_DOWN = ("upstream-down", 503, "The upstream was found to be down while it was waited for", "upstream")
    UPSTREAM_CONNECT_TIMEOUT = ("upstream-connect-timeout", 504, "The upstream did not accept in time", "upstream")
    UPSTREAM_TIMEOUT = ("upstream-timeout", 504, "The upstream did not answer in time", "upstream")

    def __init__(self, slug: str, status: int, title: str, origin: Origin) -> None:
        self.slug = slug
        self.status = status
        self.title = title
        self.origin: Origin = origin
        self.public_detail = PUBLIC_DETAILS.get(slug)

    @property
    def type(self) -> str:
        """The problem type, a URI that stays the same for ever."""
        return REGISTERED_TYPES.get(self.slug, TYPE_PREFIX + self.slug)


@dataclass(frozen=True)
class OwnKind:
    """The same of a kind of failure that a custom policy has made: see `Refusal`."""

    slug: str
    status: int
    title: str
    type: str
    origin: Origin = "gateway"
    public_detail: str | None = None


class GatewayError(Exception):
    """A request that ends here. `retryable`: nothing of the request can have taken effect, it may be sent again.

    `public_detail`: what the client gets in place of `detail`; None: what is so for all errors of this kind.
    """

    def __init__(
        self,
        kind: ErrorKind | OwnKind,
        detail: str,
        *,
        retryable: bool = False,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        members: Mapping[str, object] | None = None,
        public_detail: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.public_detail = kind.public_detail if public_detail is None else public_detail
        self.retryable = retryable
        self.headers = headers
        self.members = members or {}  # extension members of the problem document (RFC 9457, 3.2)

    @property
    def reason(self) -> str:
        """For logs and explanations: why the request ends here."""
        return self.detail


class PolicyError(GatewayError):
    """A custom policy has failed. `failure` says how, for operators: it may repeat anything of the request."""

    def __init__(self, detail: str, failure: str) -> None:
        super().__init__(ErrorKind.INTERNAL, detail)
        self.failure = failure


def described(error: BaseException) -> str:
    """The failure of a request, for logs: its kind, and the detail."""
    return f"{error.kind.slug}: {error}" if isinstance(error, GatewayError) else repr(error)


Kept = TypeVar("Kept", bound=BaseException)


def without_frames(error: Kept) -> Kept:
    """An error that is kept for longer than the `except` in which it was caught, rid of the frames that it and those
    behind it have passed. They hold the request with its body, and that what keeps the error: such a cycle stays in
    memory until garbage is collected."""
    found: list[BaseException] = [error]
    for each in found:  # which becomes longer
        each.__traceback__ = None
        behind = [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            behind += each.exceptions
        found += [other for other in behind if other is not None and not any(other is known for known in found)]
    return error


_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!#$%&'()*+,./0-9:;=?@A-Z_a-z~\[\]-]+")
_MEMBERS: Final = frozenset({"type", "title", "status", "detail", "origin", "route", "request_id"})


class Refusal(GatewayError):
    """How a custom policy refuses with a status and a problem type of its own.

    `type` is an absolute URI, at best of a page that explains it; without one, the title says what the status means
    (RFC 9457, 4.2.1). The end of it is the name in logs. Raises ValueError for what is no refusal.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        type: str = "about:blank",
        title: str | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        members: Mapping[str, object] | None = None,
    ) -> None:
        if not 400 <= status <= 599:
            raise ValueError(f"{status} is not the status of a refusal; take one of 400 to 599")
        if _ABSOLUTE.fullmatch(type) is None:
            raise ValueError(f"{type!r} is not a problem type; write a URI, such as https://api.example.com/problems/x")
        if taken := _MEMBERS.intersection(members or ()):
            raise ValueError(f"a problem document has {', '.join(sorted(taken))} already; give the members other names")
        blank = type == "about:blank"
        slug = f"status-{status}" if blank else re.split("[/:#?=]", type.rstrip("/:#?="))[-1]
        kind = OwnKind(slug, status, title or _meaning(status), type)
        super().__init__(kind, detail, headers=headers, members=members)

    @property
    def reason(self) -> str:
        """With the status, which the name of the kind does not show."""
        return f"{self.kind.status} {self.kind.slug}: {self.detail}"


def _meaning(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "The request is refused"

"""Rewrites places in responses of a backend into the client's form.

A backend behind a prefix, or under another host, calls its places by its own names: in `Location`, `Content-Location`
and `Refresh`, and in `Path` and `Domain` of its cookies. `Destination` (WebDAV, RFC 4918, 10.3) is the same the other
way round. Only paths below the replaced one are changed; those that are already in the clients' form, because
the application knows its prefix, stay.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Handler, Headers, Response
from gateway.http.paths import PathError, compared, normalise
from gateway.routes.pattern import Pattern, fits, parse
from gateway.routes.rewrite import parse_prefix, parse_template
from gateway.upstream.asgi import Hosted
from gateway.upstream.cluster import Cluster
from gateway.upstream.request import prefix_before

PLACES: Final = frozenset({b"location", b"content-location", b"refresh", b"set-cookie"})
"""The header lines of a response that name places."""

_MOVING: Final = frozenset({"COPY", "MOVE"})
_DESTINATION: Final = b"destination"
_URL: Final = re.compile(r"(?:(https?):)?//([^/?#\\]*)(.*)", re.IGNORECASE | re.DOTALL)
_REFRESH: Final = re.compile(r"([0-9.]+\s*[;,]\s*(?:url\s*=\s*)?[\"']?)([^\"']*)(.*)", re.IGNORECASE | re.DOTALL)
_PORTS: Final = {"http": "80", "https": "443"}


@dataclass(frozen=True, slots=True)
class Replaced:
    """What a route does to paths, as far as it can be turned around: each pattern of the route, and of how many of its
    segments the rewrite makes something else, all others staying behind it as they are (None: of all there are)."""

    patterns: tuple[tuple[Pattern, int | None], ...]  # empty without a rewrite
    strip_prefix: str
    encoded_slashes: bool  # whether a path may have them


def replaced_by(
    paths: Sequence[str], rewrite: str | None, strip_prefix: str | None, *, encoded_slashes: bool
) -> Replaced:
    """The inverse mapping of these settings of a route. Raises PatternError."""
    patterns = []
    for pattern in map(parse, paths if rewrite is not None else ()):
        rest = pattern.rest and parse_template(rewrite or "", pattern).ends_in_rest
        patterns.append((pattern, len(pattern.segments) if rest else None))
    return Replaced(tuple(patterns), parse_prefix("strip_prefix", strip_prefix or ""), encoded_slashes)


class Names:
    """The names of places in one exchange: `theirs` by the backend, `own` by the route, and what stands in `front`
    of that for the client. `theirs` is None where a path of the backend has no form of the client's."""

    __slots__ = ("front", "own", "theirs")

    def __init__(self, theirs: str | None, own: str, front: str) -> None:
        self.theirs = theirs
        self.own = own
        self.front = front

    def clients(self, path: str) -> str:
        """A path of the backend as clients write it."""
        whole = self.front + self.own
        if self.theirs is None or (whole and _is_below(path, whole)):
            return path
        if self.own and _is_below(path, self.own):
            return self.front + path
        if _is_below(path, self.theirs):
            return whole + path[len(self.theirs) :]
        return path

    def backends(self, path: str) -> str | None:
        """A path of the client as the backend writes it; None where it is not below this route."""
        for whole in (self.front + self.own, self.own):
            if self.theirs is not None and _is_below(path, whole):
                return self.theirs + path[len(whole) :] or "/"
        return None


@dataclass(frozen=True, slots=True)
class WayBack:
    """A target whose responses name places as clients do. A Handler."""

    handler: Handler
    target: Cluster | Hosted
    replaced: Replaced

    async def __call__(self, exchange: Exchange) -> Response:
        """Raises GatewayError where a Destination is no place of this route."""
        if exchange.method in _MOVING and _DESTINATION in exchange.fields:
            # What a client wants to copy or move to, as a path of the backend's.
            text = exchange.fields[_DESTINATION].decode("latin-1")
            found = _URL.fullmatch(text)
            path = text if found is None else found[3]
            if found is not None and not _is_clients(found[1], found[2], exchange):
                path = ""
            made = None
            if path.startswith("/") and "?" not in path and "#" not in path:
                with contextlib.suppress(PathError):
                    wanted = normalise(path.encode("latin-1"))
                    if self.replaced.encoded_slashes or not wanted.has_encoded_slash:
                        made = self._names(exchange).backends(wanted.path)
            if made is None:
                detail = "the Destination is no place of this route; name one below the same prefix and host"
                raise GatewayError(ErrorKind.BAD_REQUEST, detail)
            exchange.hidden_headers |= {_DESTINATION}
            others = tuple([line for line in exchange.extra_headers if line[0] != _DESTINATION])
            exchange.extra_headers = (*others, (_DESTINATION, made.encode("latin-1")))
        response = await self.handler(exchange)
        for name, _ in response.headers:
            if name in PLACES:
                response.headers = self._renamed(exchange, response.headers)
                break
        return response

    def describe(self, exchange: Exchange) -> str:
        """See `Layer`."""
        names = self._names(exchange)
        if names.theirs is None:
            return "places that responses name (Location, cookies) stay as they are, but for the host"
        whole = names.front + names.own
        return f"places that responses name (Location, cookies): {names.theirs or '/'} is {whole or '/'} for the client"

    def inner(self, exchange: Exchange) -> Handler:
        """See `Layer`."""
        return self.handler

    def _names(self, exchange: Exchange) -> Names:
        front = prefix_before(exchange, exchange.path).decode("latin-1")
        theirs, own = _replaced(self.replaced, exchange.path, exchange.target_path)
        return Names(theirs, own, front)

    def _renamed(self, exchange: Exchange, headers: Headers) -> Headers:
        names, hosts = self._names(exchange), self._hosts(exchange)
        made = []
        for line in headers:
            name, text = line[0], line[1].decode("latin-1")
            if name == b"set-cookie":
                text = self._cookie(text, names, hosts, exchange)
            elif name == b"refresh":
                text = _refresh(text, names, hosts, exchange)
            elif name in PLACES:
                text = _location(text, names, hosts, exchange)
            made.append((name, text.encode("latin-1")))
        return made

    def _hosts(self, exchange: Exchange) -> Sequence[str]:
        """Names by which the answering backend may call itself, each with its port: its address, and the requested
        host."""
        target = self.target
        if isinstance(target, Hosted) or target.preserve_host or not exchange.attempts:
            return ()
        asked = [attempt.endpoint for attempt in exchange.attempts]
        name = target.upstream.host_name
        return asked if name is None else [*asked, *(f"{name}:{address.rpartition(':')[2]}" for address in asked)]

    def _cookie(self, text: str, names: Names, hosts: Sequence[str], exchange: Exchange) -> str:
        """A cookie whose Path is the client's, and without a Domain that only the backend is in, which leaves it to the
        host that the client asked. Names that begin with `__Host-` promise that Path is /, and stay."""
        cookie, *attributes = text.split(";")
        name = cookie.partition("=")[0].strip()
        if name.startswith("__Host-") or self._is_ours(name):
            return text
        made = [cookie]
        for attribute in attributes:
            key, equals, value = attribute.partition("=")
            what, value = key.strip().lower(), value.strip()
            if what == "path" and value.startswith("/"):
                path = names.clients(value)
                made.append(f"{key}{equals}{path.rstrip('/') or '/' if value == '/' else path}")
            elif what != "domain" or not _is_only_theirs(value, hosts, exchange):
                made.append(attribute)
        return ";".join(made)

    def _is_ours(self, name: str) -> bool:
        affinity = None if isinstance(self.target, Hosted) else self.target.upstream.affinity
        return affinity is not None and affinity.cookie.name == name


def _replaced(replaced: Replaced, own: str, sent: str) -> tuple[str | None, str]:
    """The beginning of a path as it is sent, and of the one that it was made of; None if neither can be derived from
    the other."""
    if not replaced.patterns:
        prefix = replaced.strip_prefix
        return "", prefix if prefix and _is_below(own, prefix) else ""
    segments = own.split("/")[1:]
    for pattern, count in replaced.patterns:
        if fits(pattern, segments):
            rest = "" if count is None else "".join(f"/{segment}" for segment in segments[count:])
            made = compared(sent)
            if rest and not made.endswith(rest):
                return None, ""
            return made[: len(made) - len(rest)].rstrip("/"), own[: len(own) - len(rest)].rstrip("/")
    return None, ""


def _location(text: str, names: Names, hosts: Sequence[str], exchange: Exchange) -> str:
    """A place without the host of the backend, below the path that the client knows."""
    found = _URL.fullmatch(text)
    if found is None:
        return _path(text, names) if text.startswith("/") else text
    scheme, authority, rest = found.groups()
    own = _is_clients(scheme, authority, exchange)
    unaware = own and (scheme or "").lower() == "http" and exchange.scheme == "https"
    if unaware or _with_port(authority, scheme or exchange.scheme) in hosts:
        # One slash: browsers would take several, or a backslash, for the beginning of a host.
        return "/" + _path("/" + rest.lstrip("/\\"), names).lstrip("/\\")
    if not own:
        return text
    rest = rest if rest.startswith("/") else "/" + rest
    return text[: len(text) - len(found[3])] + _path(rest, names)


def _path(text: str, names: Names) -> str:
    end = next((at for at, char in enumerate(text) if char in "?#"), len(text))
    return names.clients(text[:end]) + text[end:]


def _refresh(text: str, names: Names, hosts: Sequence[str], exchange: Exchange) -> str:
    found = _REFRESH.fullmatch(text)
    if found is None:
        return text
    before, place, behind = found.groups()
    return f"{before}{_location(place, names, hosts, exchange)}{behind}"


def _is_clients(scheme: str | None, authority: str, exchange: Exchange) -> bool:
    """Whether this is what the client asked for."""
    asked = exchange.outer_host or exchange.host
    return _with_port(authority, scheme or exchange.scheme) == _with_port(asked, scheme or exchange.scheme)


def _is_only_theirs(domain: str, hosts: Sequence[str], exchange: Exchange) -> bool:
    """Whether a cookie is for a domain that the backend is in, and the client's host is not: browsers refuse it."""
    wanted = domain.lstrip(".").lower()
    asked = _host(exchange.outer_host or exchange.host)
    return not _is_in(asked, wanted) and any(_is_in(_host(host), wanted) for host in hosts)


def _is_in(host: str, domain: str) -> bool:
    return host == domain or host.endswith("." + domain)


def _host(authority: str) -> str:
    return re.sub(r":[0-9]*$", "", authority).lower()


def _with_port(authority: str, scheme: str) -> str:
    """An authority with its port, in lower case, as endpoints are called."""
    text = authority.lower()
    return text if re.search(r":[0-9]+$", text) else f"{text.rstrip(':')}:{_PORTS[scheme.lower()]}"


def _is_below(path: str, prefix: str) -> bool:
    return path.startswith(prefix) and (len(path) == len(prefix) or path[len(prefix)] == "/" or not prefix)

"""Services and routes of Kong: which requests a route takes, in which order, and what is sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from gateway.importing.description import Condition, Description, Path, Reference, Route, Settings, identifier
from gateway.importing.headers import is_secret
from gateway.importing.kong.expressions import Wanted, wanted_by
from gateway.importing.patterns import Pattern, as_it_came, beginning, below, literal
from gateway.importing.regexes import Unsayable, anywhere, head_of, patterns_of, sample_of
from gateway.importing.tree import Item
from gateway.importing.values import split_url
from gateway.importing.variables import filled_in

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_PROTOCOLS = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_PLAIN = re.compile(r"[A-Za-z0-9._~/%:@!$&'()+,;=-]*")


@dataclass(frozen=True, slots=True)
class Service:
    """Where the routes of a service go. `path` is in front of what they send."""

    name: str
    target: str
    path: str
    settings: Settings


def service_of(item: Item, description: Description) -> Service | None:
    """A service; None, and said in the report, where it speaks another protocol or is off."""
    name = item.text("name") or item.text("id") or f"service-{item.line}"
    item.ignore_keys("id", "tags", "_comment", "created_at", "updated_at")
    if not item.flag("enabled", True):
        item.unsaid("the service is switched off, so that its routes answer nothing")
        return None
    url = split_url(filled_in(item.get("url"), description))
    protocol = item.text("protocol") or url.scheme or "http"
    if protocol not in _PROTOCOLS:
        item.unsaid(f"{protocol} is not HTTP/1.1; its routes are left out")
        return None
    host = filled_in(item.get("host"), description) or url.host
    given = filled_in(item.get("port"), description) or url.port
    port = given or str(_PORTS[url.scheme if url.scheme in _PORTS else protocol])
    path = filled_in(item.get("path"), description) or url.path
    settings = _timing(item)
    item.ignore_default("tls_verify", True)
    for key in ("tls_verify_depth", "ca_certificates", "client_certificate", "tls_sans"):
        item.ignore_default(key)
    target = _target(host, port, _PROTOCOLS[protocol], description)
    item.said(f"target {target}" + (f", with {path} in front of the path" if path.strip("/") else ""))
    return Service(name, target, path, settings)


def _target(host: str, port: str, protocol: str, description: Description) -> str:
    """The service of this name, where an upstream has it; the address otherwise."""
    if (name := description.upstreams.get(host)) is not None:
        if protocol == "https":
            description.services[name]["protocol"] = "https"
        return name
    text = f"{host}:{port}" if protocol == "http" else f"https://{host}" + ("" if port == "443" else f":{port}")
    return Reference(text) if "${" in text else text


def _timing(item: Item) -> Settings:
    settings: Settings = {}
    read, write = item.number("read_timeout"), item.number("write_timeout")
    timeout = {}
    if (connect := item.number("connect_timeout")) is not None:
        timeout["connect"] = _milliseconds(connect)
    if read is not None:
        timeout["response_header"] = _milliseconds(read)
    if (longest := max(read or 0, write or 0)) > 0:
        timeout["idle"] = _milliseconds(longest)
    if timeout:
        settings["timeout"] = timeout
    if (retries := item.number("retries")) is not None:
        settings["retry"] = {"attempts": min(int(retries) + 1, 10)}
        if retries > 9:
            item.differs("at most ten attempts are made, the first included", "retries")
    return settings


def _milliseconds(number: float) -> str:
    return f"{number / 1000:g}s" if number % 100 == 0 else f"{number:g}ms"


def routes_of(item: Item, service: Service | None, description: Description, major: int) -> Iterator[tuple[Route, str]]:
    """The routes that an entry of `routes` stands for, and what the paths begin with where it is wider than that."""
    name = item.text("name") or item.text("id") or (service.name if service else f"route-{item.line}")
    item.ignore_keys("id", "tags", "_comment", "created_at", "updated_at", "service", "https_redirect_status_code")
    item.ignore_default("request_buffering", True, False)
    item.ignore_default("response_buffering", True, False)
    if service is None:
        if item.get("paths") or item.get("hosts"):
            item.unsaid("its service is off, of another protocol, or not in this file: it has nowhere to go")
        return
    protocols = item.texts("protocols")
    if protocols and not {"http", "https"} & set(protocols):
        item.unsaid(f"{', '.join(protocols)} is not HTTP/1.1; the route is left out")
        return
    if protocols == ["https"]:
        item.differs("http is taken as well: TLS ends in front of the gateway, which sees no difference", "protocols")
    route = Route(identifier(name), item.place, [], settings={"target": service.target} | service.settings)
    route.hosts = tuple(_hosts(item))
    if not route.hosts and (item.get("hosts") or item.get("snis")):
        item.unsaid("none of its hosts could be said, so that there is no such route")
        return
    if methods := [method.upper() for method in item.texts("methods")]:
        route.methods = tuple(method for method in methods if method not in ("CONNECT", "TRACE"))
    route.headers = _headers(item)
    if item.flag("preserve_host"):
        route.settings["preserve_host"] = True
    for key in ("sources", "destinations"):
        item.ignore_default(key)
    heads: list[str] = []
    guess = ""
    if (expression := item.get("expression")) is not None:
        guess = _by_expression(item, expression, route, service, heads)
    else:
        route.paths = list(_paths(item, service, route, description, major, heads))
    item.said(f"route {route.name}")
    if route.paths:
        yield route, guess
    for head in heads:
        paths = list(_prefix(head, (*_base(item, route), False, 0, item.line), service.path, True, True))
        yield replace(route, paths=paths, authorize=[], policies=[], settings=dict(route.settings)), head


def _hosts(item: Item) -> Iterator[str]:
    for below_ in item.items("hosts"):
        host = re.sub(r":\d+$", "", below_.own_text)
        if host != below_.own_text:
            below_.differs("hosts are compared without their port")
        if host.endswith(".*"):
            below_.unsaid("a wildcard of ours is at the front of a host only")
        else:
            yield host
    names = item.texts("snis")
    if names and item.get("hosts") is None:
        item.differs(
            "taken as hosts: TLS ends in front of the gateway, which does not see the name asked for there", "snis"
        )
        yield from names
    elif names:
        item.unsaid("TLS ends in front of the gateway, which does not see the name asked for there", "snis")


def _headers(item: Item) -> dict[str, Condition]:
    headers = item.get("headers")
    found = {}
    for name, value in headers.pairs() if headers is not None else ():
        texts = [below_.own_text for below_ in value.items()]
        if is_secret(name) and len(texts) == 1 and not texts[0].startswith("~*"):
            secret = Description(item.report).secret(f"MATCHED_{name}", value.place)
            found[name.lower()] = Condition(secret, secret)
            continue
        if len(texts) == 1 and texts[0].startswith("~*"):
            found[name.lower()] = Condition({"regex": "(?i)" + anywhere(texts[0][2:])}, sample_of(texts[0][2:]))
        elif len(texts) == 1 and texts[0].lower() == texts[0].upper():
            found[name.lower()] = Condition(texts[0], texts[0])
        elif texts:
            found[name.lower()] = Condition({"regex": "(?i)" + "|".join(map(re.escape, texts))}, texts[0])
    return found


def _by_expression(item: Item, expression: Item, route: Route, service: Service, heads: list[str]) -> str:
    """Give a route what its expression asks for; what its paths begin with, where that is only a part of it."""
    wanted, guess = wanted_by(expression.own_text), ""
    if wanted is None:
        expression.unsaid("this expression is more than paths, hosts and methods: write those")
        # Of an expression that cannot be said, the path that all its requests have, if it says one.
        found = re.fullmatch(
            r'http\.path\s*(==|\^=)\s*"([^"\\]*)"\s*&&(?:(?!\|\|).)*', expression.own_text.strip(), re.DOTALL
        )
        wanted = Wanted([(found[1], found[2])]) if found else None
        if wanted is None:
            return ""
        guess = wanted.paths[0][1]
    route.hosts, route.methods = tuple(wanted.hosts), tuple(wanted.methods) or None
    route.paths = list(_wanted_paths(item, wanted, service, heads))
    return guess


def _wanted_paths(item: Item, wanted: Wanted, service: Service, heads: list[str]) -> Iterator[Path]:
    """The paths of an expression; these routes are asked before those without one."""
    strip, first = item.flag("strip_path", True), (-99, -(item.number("priority", 0) or 0), False)
    for operator, text in wanted.paths or [("^=", "/")]:
        if operator == "==":
            sent = (_joined(service.path, "") or "/") if strip else _behind(service.path, text)
            yield Path(literal(text), (*first, False, -len(text), item.line), sent)
        elif operator == "^=":
            yield from _prefix(text, (*first, True, -len(text), item.line), service.path, strip, joined=True)
        else:
            try:
                found = patterns_of(text, anywhere=True)
            except Unsayable as why:
                item.unsaid(f"the regular expression has no path of ours: {why}", "expression")
                heads += [head] if (head := head_of(text, anywhere=True)) else []
                continue
            for pattern in found.patterns:
                sent_ = _of_expression(pattern, service.path, strip, found.anchored)
                yield Path(pattern, (*first, False, 0, item.line), sent_)


def _base(item: Item, route: Route) -> tuple[object, ...]:
    """By what Kong sorts routes before their paths."""
    attributes = sum(map(bool, (route.hosts, item.items("paths"), route.methods, route.headers, item.get("snis"))))
    return (-attributes, -len(route.headers), any("*" in host for host in route.hosts))


def _paths(
    item: Item, service: Service, route: Route, description: Description, major: int, heads: list[str]
) -> Iterator[Path]:
    """The paths of a route; `heads` gets what those begin with that could not be said."""
    given = item.items("paths")
    strip = item.flag("strip_path", True)
    joined = item.text("path_handling", "v0") == "v0"
    priority = item.number("regex_priority", 0) or 0
    base = _base(item, route)
    if not given:
        yield Path(Pattern((), True), (*base, True, 0, item.line), _behind(service.path, "/$1"))
    for below_ in given:
        text = filled_in(below_, description)
        regex = text.startswith("~") or (major < 3 and not _PLAIN.fullmatch(text))
        if not regex:
            rank = (*base, True, -len(text), item.line)
            yield from _prefix(text, rank, service.path, strip, joined)
            continue
        try:
            found = patterns_of(text.removeprefix("~").strip())
        except Unsayable as why:
            below_.unsaid(f"the regular expression has no path of ours: {why}")
            heads += [head] if (head := head_of(text.removeprefix("~").strip())) else []
            continue
        of_expression = (*base, False, -priority, item.line)
        for pattern in found.patterns:
            yield Path(pattern, of_expression, _of_expression(pattern, service.path, strip, found.anchored))


def _of_expression(pattern: Pattern, base: str, strip: bool, anchored: bool) -> str | None:
    """What is sent for a path that an expression fits: with `strip`, only what follows what it fits."""
    if not strip:
        return _behind(base, as_it_came(pattern))
    captures = list(pattern.captures())
    rest = pattern.rest and not anchored
    return _joined(base, captures[-1] if rest and captures else "") or "/"


def _prefix(text: str, rank: tuple[object, ...], base: str, strip: bool, joined: bool) -> Iterator[Path]:
    """What begins with this text, character by character."""
    path = Path(below(text), rank)
    if strip:
        stem = text.rstrip("/")
        bare = base.rstrip("/") == ""
        yield replace(path, strip=stem or None) if bare else replace(path, rewrite=_joined(base, "$1"))
    else:
        yield replace(path, rewrite=_behind(base, as_it_came(path.pattern)))
    if text.endswith("/"):
        return
    stray = Path(beginning(text), rank, stray=True)
    if strip:
        sent = _joined(base, "$1/$2") if joined or base.endswith("/") or not base else base + "$1/$2"
        yield replace(stray, rewrite=sent)
    else:
        yield replace(stray, rewrite=_behind(base, as_it_came(stray.pattern)))


def _behind(base: str, sent: str) -> str | None:
    """The path as it came behind the path of the service; None where there is nothing in front."""
    return None if not base.strip("/") else _marked(base.rstrip("/") + sent)


def _joined(base: str, rest: str) -> str:
    return _marked(base.rstrip("/") + ("/" + rest if rest else ""))


def _marked(text: str) -> str:
    return Reference(text) if "${" in text else text

"""Services and routes of Kong: which requests a route takes, in which order, and what is sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from gateway.importing.description import Condition, Description, Path, Route, Settings, identifier
from gateway.importing.headers import is_secret
from gateway.importing.kong.certificates import Certificates
from gateway.importing.kong.expressions import Wanted, wanted_by
from gateway.importing.kong.sending import Sending
from gateway.importing.regexes import anywhere, sample_of
from gateway.importing.tree import Item
from gateway.importing.values import NO_USER, split_url
from gateway.importing.variables import filled_in

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_PROTOCOLS = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_TIMES = {
    "connect_timeout": "timeout.connect",
    "read_timeout": "timeout.response_header and .idle",
    "write_timeout": "timeout.idle",
    "retries": "retry.attempts",
}
_PLAIN = re.compile(r"[A-Za-z0-9._~/%:@!$&'()+,;=-]*")


@dataclass(frozen=True, slots=True)
class Service:
    """Where the routes of a service go. `path` is in front of what they send."""

    name: str
    target: str
    path: str
    settings: Settings


def service_of(item: Item, certificates: Certificates, description: Description) -> Service | None:
    """A service; None, and said in the report, where it speaks another protocol or is off."""
    name = item.text("name") or item.text("id") or f"service-{item.line}"
    item.ignore_keys("id", "tags", "_comment", "created_at", "updated_at")
    if not item.flag("enabled", True):
        item.unsaid("the service is switched off, so that its routes answer nothing")
        return None
    url = split_url(filled_in(item.get("url"), description))
    if url.user:
        item.differs(NO_USER, "url")
    protocol = item.text("protocol") or url.scheme or "http"
    if protocol not in _PROTOCOLS:
        item.unsaid(f"{protocol} is not HTTP/1.1; its routes are left out")
        return None
    host = filled_in(item.get("host"), description) or url.host
    given = filled_in(item.get("port"), description) or url.port
    port = given or str(_PORTS[url.scheme if url.scheme in _PORTS else protocol])
    path = filled_in(item.get("path"), description) or url.path
    settings = _timing(item)
    item.ignore_default("tls_verify_depth")
    if (names := item.get("tls_sans")) is not None:
        names.unsaid("certificates carry the name of the endpoint here, or `tls.server_name` of the service")
    secure = _PROTOCOLS[protocol] == "https"
    address = f"{host}:{port}" if not secure else f"https://{host}" + ("" if port == "443" else f":{port}")
    tls: Settings = {}
    if secure:
        tls = certificates.tls_of(item, host)
    else:
        certificates.unasked(item)
    target = description.target(host, address, secure=secure, tls=tls)
    item.said(f"target {target}" + (f", with {path} in front of the path" if path.strip("/") else ""))
    return Service(name, target, path, settings)


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
    for key, ours in _TIMES.items():
        item.said(f"{ours} of routes", key)
    if (retries := item.number("retries")) is not None:
        settings["retry"] = {"attempts": min(int(retries) + 1, 10)}
        if retries > 9:
            item.differs("at most ten attempts are made, the first included", "retries")
    return settings


def _milliseconds(number: float) -> str:
    return f"{number / 1000:.15g}s" if number % 100 == 0 else f"{number:.15g}ms"


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
        item.unsaid("none of its hosts can be expressed, so the route is left out")
        return
    methods = [method.upper() for method in item.texts("methods")]
    route.methods = tuple(each for each in methods if each not in ("CONNECT", "TRACE")) if methods else None
    route.headers = _headers(item)
    route.settings |= {"preserve_host": True} if item.flag("preserve_host") else {}
    item.ignore_default("sources")
    item.ignore_default("destinations")
    sending = Sending(service.path, item.flag("strip_path", True))
    guess = ""
    if (expression := item.get("expression")) is not None:
        guess = _by_expression(item, expression, route, sending)
    else:
        sending = replace(sending, joined=item.text("path_handling", "v0") == "v0")
        route.paths = list(_paths(item, route, description, major, sending))
    item.said(f"route {route.name}")
    if route.paths:
        yield route, guess
    for head in sending.heads:
        paths = list(Sending(service.path, strip=True).prefix(head, (*_base(item, route), False, 0, item.line)))
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


def _by_expression(item: Item, expression: Item, route: Route, sending: Sending) -> str:
    """Give a route what its expression asks for; what its paths begin with, where that is only a part of it. Such
    routes are asked before those without an expression."""
    wanted, guess = wanted_by(expression.own_text), ""
    if wanted is None:
        expression.unsaid("this expression is more than paths, hosts and methods: write those")
        # Of an expression that cannot be translated, the path that all its requests have, if there is one.
        found = re.fullmatch(
            r'http\.path\s*(==|\^=)\s*"([^"\\]*)"\s*&&(?:(?!\|\|).)*', expression.own_text.strip(), re.DOTALL
        )
        wanted = Wanted([(found[1], found[2])]) if found else None
        if wanted is None:
            return ""
        guess = wanted.paths[0][1]
    route.hosts, route.methods = tuple(wanted.hosts), tuple(wanted.methods) or None
    first = (-99, -(item.number("priority", 0) or 0), False)
    for operator, text in wanted.paths or [("^=", "/")]:
        if operator == "==":
            route.paths.append(sending.exact(text, (*first, False, -len(text), item.line)))
        elif operator == "^=":
            route.paths += sending.prefix(text, (*first, True, -len(text), item.line))
        else:
            route.paths += sending.expression(text, (*first, False, 0, item.line), item, "expression", anywhere=True)
    return guess


def _base(item: Item, route: Route) -> tuple[object, ...]:
    """By what Kong sorts routes before their paths."""
    attributes = sum(map(bool, (route.hosts, item.items("paths"), route.methods, route.headers, item.get("snis"))))
    plain = bool(route.hosts) and not any("*" in host for host in route.hosts)
    return (-attributes, not plain, -len(route.headers))


def _paths(item: Item, route: Route, description: Description, major: int, sending: Sending) -> Iterator[Path]:
    given = item.items("paths")
    priority = item.number("regex_priority", 0) or 0
    base = _base(item, route)
    if not given:
        yield sending.everything((*base, True, 0, item.line))
    for path in given:
        text = filled_in(path, description)
        if text.startswith("~") or (major < 3 and not _PLAIN.fullmatch(text)):
            expression = text.removeprefix("~").strip()
            yield from sending.expression(expression, (*base, False, -priority, item.line), path)
            continue
        if not _PLAIN.fullmatch(text):
            path.differs("it is compared as text, as Kong 3 does: an expression begins with ~ there")
        yield from sending.prefix(text, (*base, True, -len(text), item.line))

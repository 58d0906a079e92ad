"""Upstreams of nginx as services."""

from __future__ import annotations

from gateway.importing.description import Description, Settings, identifier
from gateway.importing.nginx.directives import Directive

_NOTHING = ("keepalive", "keepalive_timeout", "keepalive_requests", "keepalive_time", "zone", "queue", "resolver")


def read(http: Directive, description: Description) -> None:
    """Add the services of all `upstream` blocks."""
    for upstream in http.all("upstream"):
        name = upstream.argument
        endpoints: list[Settings | str] = []
        for server in upstream.all("server"):
            if (endpoint := _endpoint(server)) is not None:
                endpoints.append(endpoint)
                server.said(f"endpoint of service {identifier(name)}")
        upstream.all(*_NOTHING)
        if not endpoints:
            upstream.unsaid("it has no server that could be named")
            continue
        settings: Settings = {"endpoints": endpoints}
        if balance := _balance(upstream):
            settings["balance"] = balance
        description.services[identifier(name)] = settings
        description.upstreams[name] = identifier(name)
        upstream.said(f"service {identifier(name)}")


def _endpoint(server: Directive) -> Settings | str | None:
    address = server.argument
    if address.startswith("unix:"):
        server.unsaid("an endpoint is host:port; have the backend listen on a port")
        return None
    if ":" not in address.rpartition("]")[2]:
        address += ":80"
    settings: Settings = {"address": address}
    for option in server.arguments[1:]:
        key, _, value = option.partition("=")
        if key == "down":
            server.unsaid("it is marked as down, and left out")
            return None
        if key == "weight" and value.isdecimal():
            settings["weight"] = min(int(value), 1000)
        elif key == "backup":
            settings["priority"] = 1
        elif key in ("max_fails", "fail_timeout"):
            server.differs("failing endpoints are left out by `outliers`, which is on with values of its own")
        elif key not in ("resolve", "max_conns", "slow_start"):
            server.differs(f"{key} has no counterpart")
        elif key != "resolve":
            server.differs(f"{key}: see `connections` and `slow_start` of the service")
    return settings if len(settings) > 1 else address


_METHODS = {"least_conn": "least_request", "random": "random", "least_time": "peak_ewma"}
_HASHED = {"$http_": "header", "$cookie_": "cookie", "$arg_": "query"}


def _balance(upstream: Directive) -> Settings | str:
    for name, method in _METHODS.items():
        if upstream.first(name):
            return method
    if (sticky := upstream.first("sticky")) is not None:
        return {"sticky": {"cookie": sticky.arguments[1] if len(sticky.arguments) > 1 else "sticky"}}
    hashed = upstream.first("hash")
    key = hashed.argument if hashed is not None else ""
    if upstream.first("ip_hash") or key in ("$remote_addr", "$binary_remote_addr"):
        return {"consistent_hash": {"client": True}}
    for prefix, kind in _HASHED.items():
        if key.startswith(prefix):
            name = key.removeprefix(prefix)
            return {"consistent_hash": {kind: name.replace("_", "-") if kind == "header" else name}}
    if hashed is not None:
        hashed.unsaid("requests are spread by a header, cookie, parameter or address, not by this; in turn instead")
    return "round_robin"

"""Why a request goes where it goes: the same table and handlers that would serve it, asked for their reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from gateway.build import RouteHandler, Snapshot
from gateway.routes.paths import PathError, normalise
from gateway.routes.rule import NoMatch
from gateway.upstream.cluster import Cluster


def explain(snapshot: Snapshot, method: str, url: str, headers: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """What would happen to this request, as plain data. Headers are (name, value); a Host among them goes first."""
    parts = urlsplit(url if "://" in url or url.startswith("/") else "http://" + url)
    fields = {name.lower().encode("latin-1", "replace"): value.encode("utf-8") for name, value in headers}
    host = fields.get(b"host", parts.netloc.encode()).decode("latin-1")
    try:
        path = normalise(parts.path.encode())
    except PathError as error:
        return {"request": f"{method} {url}", "result": f"400: {error}"}
    table = snapshot.table.explain(method, host, path.path, parts.query.encode(), fields.get)
    told: dict[str, Any] = {"request": f"{method} {url}", "path": path.path}
    match = table.result
    if isinstance(match, NoMatch):
        allow = ", ".join(match.allow)
        told["result"] = f"405: the path takes {allow}" if allow else "404: no route takes it"
    elif path.has_encoded_slash and not match.rule.allow_encoded_slashes:
        told["result"] = f'400: route "{match.rule.id}" does not allow encoded slashes'
    else:
        told |= {"result": f'route "{match.rule.id}"', "why": _why(match.form, match.rule.path)}
        told |= {"sent": match.path, "parameters": dict(match.parameters)} | _onward(match.value)
    told["lost"] = [
        {"route": loser.rule.id, "pattern": loser.pattern, "form": loser.form, "why": loser.reason}
        for loser in table.losers
    ]
    if table.more:
        told["more"] = f"{table.more} routes more, whose path or host is further off"
    return told


def _why(form: str, pattern: str) -> str:
    if form == "rewritten":
        return f"the path is already in the form that {pattern} is rewritten to"
    if form == "base_path":
        return f"the path, behind the base path, fits {pattern}, the most specific that does"
    return f"the path fits {pattern}, the most specific that does"


def _onward(handler: RouteHandler) -> dict[str, Any]:
    """Through which handlers, and where to."""
    target = handler.target
    onward: dict[str, Any] = {"handlers": [repr(middleware) for middleware in handler.middlewares]}
    if isinstance(target, Cluster):
        onward["handlers"].append(f"Cluster({target.name})")
        onward["timeouts"] = repr(target.timeouts)
        onward["endpoints"] = [endpoint.label for endpoint in target.endpoints]
    else:
        onward["handlers"].append(target.name)
        onward["endpoints"] = [target.name]
    return onward

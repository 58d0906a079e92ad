"""`GET /requests`, `GET /requests/{id}`: the last requests, where they went and why, and which limits they used."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.answers import Refused, json_answer
from gateway.admin.operations import Operation, Parameter
from gateway.admin.pages import PAGE, page_of, without_secrets
from gateway.admin.wanted_requests import WANTED, wanted_requests
from gateway.config.values.instants import format_instant
from gateway.explain import why_taken
from gateway.monitor.recent_requests import RecentRequest, RecentRequests
from gateway.reload import Reloader
from gateway.snapshot import Snapshot

_GONE = "this request is not among the last ones; look for its request_id in the access log"


def recent_operations(reloader: Reloader, recent: RecentRequests) -> list[Operation]:
    """The API of the requests that are remembered."""

    async def requests(request: Request) -> Response:
        query = request.query_params
        page, wanted, request_id = page_of(query), wanted_requests(query), query.get("id")
        found = [each for each in recent if request_id in (None, each.request_id) and wanted.has(each)]
        if not found and request_id is not None:
            raise Refused(404, _GONE)
        snapshot, hide, explained = reloader.current, reloader.hide, []
        for each in page.of(found):
            explained.append(without_secrets(_explained(snapshot, each), hide))
            await asyncio.sleep(0)  # between two of them, requests have their turn
        return json_answer(explained, headers=page.next("/requests", len(found)))

    async def one(request: Request) -> Response:
        request_id = request.path_params["id"]
        found = next((each for each in recent if each.request_id == request_id), None)
        if found is None:
            raise Refused(404, _GONE)
        return json_answer(without_secrets(_explained(reloader.current, found), reloader.hide))

    by_id = Parameter("id", "Only that of this request_id.")
    refusals = {404: "the request is not among the last ones"}
    wrong = {400: "a filter is invalid", **refusals}
    summary = "The last requests, the newest first: where they went and why, and which limits they used."
    kept = "The last 200, as `gateway last` shows them. Neither queries nor headers are kept."
    return [
        Operation("GET", "/requests", requests, summary, (by_id, *WANTED, *PAGE), refusals=wrong, description=kept),
        Operation("GET", "/requests/{id}", one, "One of the last requests.", refusals=refusals),
    ]


def _explained(snapshot: Snapshot | None, each: RecentRequest) -> dict[str, Any]:
    """The same, and why its route took it."""
    why = None
    if snapshot is not None and each.route is not None:
        why = why_taken(snapshot, each.route, each.method, each.host, each.original_path)
    return shown(each) | {"why": why}


def shown(each: RecentRequest) -> dict[str, Any]:
    """The outcome of a request."""
    return {
        "request_id": each.request_id,
        "at": format_instant(each.at),
        "client": each.client,
        "claimed_client": each.claimed_client,
        "consumer": each.consumer,
        "credential": each.credential,
        "method": each.method,
        "host": each.host,
        "path": each.path,
        "original_path": each.original_path,
        "route": each.route,
        "upstream": each.upstream,
        "sent": each.sent_path if each.attempts else None,
        "attempts": [attempt.summary() for attempt in each.attempts],
        "status": each.status,
        "ms": int(each.seconds * 1e6 + 0.5) / 1e3,
        "bytes_in": each.bytes_in,
        "bytes_out": each.bytes_out,
        "cache": each.cache,
        "limits": each.limits,
        "decisions": [f"{said.verdict} {said.rule}: {said.reason}" for said in each.decisions],
        "error": each.error,
        "model": each.model,
    }

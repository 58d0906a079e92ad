"""`GET /requests`: the last requests, where they went and why, and which limits they used."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.answers import Refused, json_answer
from gateway.admin.operations import Operation, Parameter
from gateway.admin.pages import PAGE, page_of
from gateway.build import Snapshot
from gateway.config.values.instants import format_instant
from gateway.explain import why_taken
from gateway.monitor.recent_requests import RecentRequest, RecentRequests
from gateway.reload import Reloader


def recent_operations(reloader: Reloader, recent: RecentRequests) -> list[Operation]:
    """The API of the requests that are remembered."""

    async def requests(request: Request) -> Response:
        snapshot, wanted = reloader.current, request.query_params
        page = page_of(wanted)
        found = [each for each in recent if _is_wanted(each, wanted.get("id"), wanted.get("route"))]
        if not found and "id" in wanted:
            raise Refused(404, "this request is none of the last ones; the access log has it, under its request_id")
        shown = [_shown(snapshot, each) for each in page.of(found)]
        return json_answer(shown, headers=page.next("/requests", len(found)))

    parameters = (Parameter("id", "Only that of this request_id."), Parameter("route", "Only those of this route."))
    refusals = {404: "the request is none of the last ones"}
    summary = "The last requests, the newest first: where they went and why, and which limits they used."
    kept = "The last 200, as `gateway last` shows them. Neither queries nor headers are kept."
    return [Operation("GET", "/requests", requests, summary, (*parameters, *PAGE), refusals=refusals, description=kept)]


def _is_wanted(each: RecentRequest, request_id: str | None, route: str | None) -> bool:
    return request_id in (None, each.request_id) and route in (None, each.route)


def _shown(snapshot: Snapshot | None, each: RecentRequest) -> dict[str, Any]:
    why = None
    if snapshot is not None and each.route is not None:
        why = why_taken(snapshot, each.route, each.method, each.host, each.original_path)
    return {
        "request_id": each.request_id,
        "at": format_instant(each.at),
        "client": each.client,
        "consumer": each.consumer,
        "method": each.method,
        "host": each.host,
        "path": each.path,
        "original_path": each.original_path,
        "route": each.route,
        "why": why,
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
    }

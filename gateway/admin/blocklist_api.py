"""The blocklist in the admin API: `GET /blocklist`, `POST /blocklist`, `DELETE /blocklist?kind=...&value=...`."""

from __future__ import annotations

import logging
import time
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response

from gateway.access.entries import KINDS, MAX_TEXT, Entry, Key, canonical
from gateway.access.runtime_entries import BlocklistFull, RuntimeEntries
from gateway.admin.answers import Refused, json_answer, json_body, loaded
from gateway.admin.operations import Operation, Parameter
from gateway.config.values.instants import format_instant, parse_instant
from gateway.config.values.quantities import parse_duration
from gateway.reload import Reloader

logger = logging.getLogger("gateway.blocklist")

MAX_BODY = 16 * 1024
EXAMPLE = '{"network": "203.0.113.0/24", "reason": "...", "for": "1h"}'
SHOWN = 1000  # entries of a list, unless it is asked for more
_ADDED = f"`{EXAMPLE}`; `until` and a point in time, or neither, in place of `for`."
_FIELDS = {"reason", "until", "for"}


def blocklist_operations(reloader: Reloader) -> list[Operation]:
    """The API of the blocklist in force."""
    api = _Api(reloader)
    none = {503: "no configuration is loaded"}
    text = {"type": "string"}
    body = {
        "type": "object",
        "description": "One of network, consumer, user_agent and path; how long, unless until it is lifted.",
        "properties": dict.fromkeys((*KINDS, *sorted(_FIELDS)), text),
        "additionalProperties": False,
    }
    limit = Parameter("limit", "How many entries, at most.")
    key = (Parameter("kind", "The kind of the entry.", required=True), Parameter("value", "Whom.", required=True))
    wrong = {400: "the error of the entry", **none}
    full = {**wrong, 409: "it is in middleware.yaml", 415: "it is not application/json", 507: "the blocklist is full"}
    return [
        Operation("GET", "/blocklist", api.listed, "The active entries.", (limit,), refusals=none),
        Operation(
            "POST", "/blocklist", api.add, "Block a client.", body=body, status=201, refusals=full, description=_ADDED
        ),
        Operation(
            "DELETE",
            "/blocklist",
            api.lift,
            "Lift an entry.",
            key,
            refusals={**wrong, 404: "there is none", 409: "it is in middleware.yaml"},
        ),
    ]


class _Api:
    def __init__(self, reloader: Reloader) -> None:
        self._reloader = reloader

    async def listed(self, request: Request) -> Response:
        found = loaded(self._reloader).blocklist
        runtime, entries = found.runtime, found.file.entries
        text = request.query_params.get("limit", str(SHOWN))
        if not text.isdecimal() or len(text) > 9:
            raise Refused(400, "limit is a number of entries")
        limit = int(text)
        now = time.time()
        every = [*runtime.entries(), *(entry for entry in entries if entry.holds(now))]
        shown = [_shown(entry) for entry in every[:limit]]
        return json_answer({"entries": shown, "count": len(every), **_state(runtime)})

    async def add(self, request: Request) -> Response:
        found = loaded(self._reloader).blocklist
        runtime, entries = found.runtime, found.file.entries
        entry = _entry(await json_body(request, MAX_BODY, "an entry", EXAMPLE), time.time())
        if any(known.key == entry.key for known in entries):
            raise Refused(409, f"{entry.kind} {entry.value} is in middleware.yaml; change it there")
        try:
            entry = runtime.add(entry)
        except BlocklistFull:
            message = "the blocklist is full; lift entries, or block whole networks and wider patterns"
            raise Refused(507, message) from None
        logger.warning("added: %s", entry.described())
        await runtime.settle()
        return json_answer({"entry": _shown(entry), **_state(runtime)}, 201)

    async def lift(self, request: Request) -> Response:
        found = loaded(self._reloader).blocklist
        runtime, entries = found.runtime, found.file.entries
        key = _key(request.query_params.get("kind"), request.query_params.get("value"))
        if not runtime.lift(key):
            in_file = any(entry.key == key for entry in entries)
            remedy = "it is in middleware.yaml; remove it there" if in_file else "GET /blocklist lists the entries"
            raise Refused(409 if in_file else 404, f"there is no entry to lift for {key[0]} {key[1]}: {remedy}")
        logger.warning("lifted: %s %s", *key)
        await runtime.settle()
        return json_answer({"lifted": {"kind": key[0], "value": key[1]}, **_state(runtime)})


def _state(runtime: RuntimeEntries) -> dict[str, bool | None]:
    """Whether a restart keeps everything, and whether the other gateways know everything (None: there are none)."""
    shared = runtime.shared
    return {"kept": runtime.kept, "shared": None if shared is None else shared.available and runtime.published}


def _shown(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "value": entry.value,
        "reason": entry.reason,
        "until": None if entry.until is None else format_instant(entry.until),
        "source": entry.source,
        "since": format_instant(entry.changed) if entry.changed else None,
    }


def _entry(fields: dict[str, Any], now: float) -> Entry:
    kinds = [kind for kind in KINDS if kind in fields]
    unknown = fields.keys() - set(KINDS) - _FIELDS
    if unknown:
        raise Refused(400, f"unknown: {', '.join(sorted(unknown))}; there are {', '.join((*KINDS, *sorted(_FIELDS)))}")
    if len(kinds) != 1:
        raise Refused(400, f"exactly one of {', '.join(KINDS)} is needed")
    kind, value = _key(kinds[0], fields[kinds[0]])
    reason = fields.get("reason", "")
    if not isinstance(reason, str) or not reason.isprintable() or len(reason) > MAX_TEXT:
        raise Refused(400, f"reason: expected a text of at most {MAX_TEXT} characters, without line ends")
    return Entry(kind, value, reason, _until(fields, now), "admin")


def _key(kind: str | None, value: Any) -> Key:
    if kind not in KINDS:
        raise Refused(400, f"kind is one of {', '.join(KINDS)}")
    try:
        return cast(Any, kind), canonical(kind, value)
    except ValueError as error:
        raise Refused(400, f"{kind}: {error}") from None


def _until(fields: dict[str, Any], now: float) -> float | None:
    if "for" in fields and "until" in fields:
        raise Refused(400, "for and until exclude each other; give one, or none: until it is lifted")
    try:
        if "for" in fields:
            return now + parse_duration(fields["for"])
        until = parse_instant(fields["until"]) if fields.get("until") is not None else None
    except ValueError as error:
        raise Refused(400, f"{'for' if 'for' in fields else 'until'}: {error}") from None
    if until is not None and until <= now:
        raise Refused(400, "until is over already; name a later time")
    return until

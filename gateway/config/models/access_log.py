"""middleware.yaml: the access log."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.config.models.base import Section
from gateway.config.values.kinds import Several, Text, TextLike, or_empty, refuse
from gateway.config.values.quantities import Percent

FIELDS: Final[Mapping[str, str]] = {
    "time": "when the request came: `2026-01-31T12:00:00.123456Z`, always UTC",
    "request_id": "its id, which the backend and problem documents have, too: `gateway last ID` shows more",
    "trace_id": "of the trace that it belongs to (`trace`)",
    "span_id": "of its span in that trace, where it is recorded: only then a collector has it",
    "client": "the address of the client, as far as `trusted_proxies` vouch for it",
    "consumer": "who called, where that is known",
    "claimed_consumer": "whose credential was refused: that of an expired or revoked key, for instance",
    "method": "its method",
    "host": "its `Host`",
    "path": "its path in the form of its route, without the query",
    "original_path": "its path as the client sent it, without the query",
    "user_agent": "its `User-Agent`, of which at most 512 characters are kept",
    "referer": "its `Referer`, cut likewise; the values of its query, user, password and fragment are left out",
    "route": "the id of the route that took it",
    "upstream": "the service that answered it",
    "endpoint": "the address of the last attempt",
    "status": "the status of the response; 499 where the client left before there was one, 503 where the gateway ended",
    "bytes_in": "bytes of its body",
    "bytes_out": "bytes of the body of the response",
    "duration": "seconds from its head to the end of the response",
    "upstream_duration": "seconds until the backend's head had come, in the last attempt",
    "cache": "the result of the cache, of models too: `hit`, `miss`, `stale`, ...",
    "fallback": "which failure something else stood in for (`fallback`)",
    "attempts": "each attempt: `endpoint`, `status` or `error`, `ms`, `queued_ms` before where it waited for one of "
    "`connections.max`, `why_next`, `why_not`",
    "refused_by": "the rule that refused it: `authentication:keys`, `blocklist:network`, `rate_limit:NAME`",
    "reason": "the reason of that rule: for the blocklist, the entry",
    "error": "the problem type (see problems.md), and details",
    "model_backend": "only of requests to models: who answered, or was tried last, as in metrics: `provider/model`",
    "model": "only of requests to models: decision and usage; see below",
    "sample_rate": "only where `sample` leaves lines out: the share that is written, such as 0.1",
}
"""Fields of a line, in their order. docs/access-log.md has the same."""


def _is_field(name: str) -> str:
    if name not in FIELDS:
        raise refuse(f"unknown field; the fields are {', '.join(FIELDS)}")
    return name


def _no_duplicates(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise refuse("a field is named twice; remove one of them")
    return names


Statuses = Annotated[
    str,
    TextLike(
        "status", "[1-4](?:xx|[0-9][0-9])", "expected 1xx, 2xx, 3xx, 4xx or a status below 500; 5xx are always written"
    ),
]


class AccessLog(Section):
    """The access log: one line for each request. docs/access-log.md describes the fields."""

    output: Text = Field(
        "stdout", description="`stdout`, `stderr`, `off`, or a file, relative to the configuration directory."
    )
    format: Literal["json", "console"] = Field(
        "json",
        description="`json` for machines, `console` for people. The gateway's own log, on stderr, has the same.",
    )
    fields: Annotated[Several[Annotated[Text, AfterValidator(_is_field)]], AfterValidator(_no_duplicates)] = Field(
        (), description="The fields of a line of JSON, in this order. Empty: all."
    )
    sample: Annotated[
        dict[Statuses, Percent],
        BeforeValidator(or_empty({}), json_schema_input_type=dict[Statuses, Percent] | None),
    ] = Field(
        {},
        description="How many lines are written, by status: `{2xx: 10%, '404': 1%}`; a status goes before its class. "
        "Always written are 5xx and every request that failed once its status had been sent. `sample_rate` of a line "
        "is the share that was written.",
    )

"""Causes and remedies of each problem type, for operators. `python -m gateway.remedies > docs/problems.md`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.errors import ErrorKind

_HEAD: Final = """\
<!-- Made by `python -m gateway.remedies > docs/problems.md`: change gateway/remedies.py, not this file. -->
# Problem types

What the gateway answers where it refuses a request or fails: `application/problem+json` (RFC 9457), with `type`,
`title`, `status`, `detail`, `origin` (`upstream` where the backend is at fault), `route` and `request_id`.
`type` does not change between versions; clients match on it. `gateway last REQUEST_ID` and the access log's `error`
have what the client does not get. Custom policies may define further types."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """Why it happens, and what to do about it."""

    cause: str
    remedy: str


REMEDIES: Final[Mapping[str, Remedy]] = {
    "bad-request": Remedy(
        "The bytes are no HTTP request, or one that two programs could read differently.",
        "Correct the client; the detail has the error.",
    ),
    "ambiguous-path": Remedy(
        "The path has encoded slashes, dots or bytes that backends read in more than one way.",
        "Send it plainly, or set `allow_encoded_slashes` on the route.",
    ),
    "ambiguous-field": Remedy(
        "A header or parameter that a rule reads is duplicated, or is too long.",
        "Send it once.",
    ),
    "ambiguous-credentials": Remedy(
        "More than one credential of one kind was sent.",
        "Send one.",
    ),
    "unauthenticated": Remedy(
        "No credential, or one that is not known, has expired or does not hold yet.",
        "See `reason` and `claimed_consumer` in the access log; compare the clocks where tokens are too "
        "early or too old; `gateway keys new` makes a key.",
    ),
    "forbidden": Remedy(
        "The caller is known, and `authorize` or another rule does not let it do this.",
        "`gateway explain` names the rule; give the caller the group or scope, or change the rule.",
    ),
    "blocked": Remedy(
        "An entry of the blocklist holds for the client.",
        "`refused_by` and `reason` in the access log name it; `gateway blocklist lift` lifts it.",
    ),
    "no-route": Remedy(
        "No route takes this host, path and method.",
        "`gateway explain METHOD URL` says which came close; add or correct a route.",
    ),
    "method-not-allowed": Remedy(
        "The path has a route, but not for this method.",
        "Use one of `Allow`, or add the method to `methods`.",
    ),
    "request-timeout": Remedy(
        "The head or the body came too slowly.",
        "Look at the client's network, or raise `limits.header_timeout` or `limits.stall`.",
    ),
    "body-too-large": Remedy(
        "The body is larger than the route takes.",
        "Send less, or raise `max_body`; of forms for models, `max_upload` of models.yaml.",
    ),
    "url-too-long": Remedy(
        "The request line is longer than `limits` allow.",
        "Send the data in a body, or raise `limits.url`.",
    ),
    "unsupported-media-type": Remedy(
        "`content_types` does not list the type of the body.",
        "Send a type that is listed, or list it.",
    ),
    "expectation-failed": Remedy(
        "`Expect` has something else than `100-continue`.",
        "Leave it out.",
    ),
    "upgrade-required": Remedy(
        "The request speaks another version of WebSocket than 13.",
        "Update the client.",
    ),
    "quota-exceeded": Remedy(
        "A rate limit or a quota is used up.",
        "Wait for `Retry-After`; `gateway last` names the limit; raise it in `rate_limits` or `quotas`.",
    ),
    "headers-too-large": Remedy(
        "All headers together are larger than `limits` allow.",
        "Send fewer cookies, or raise `limits.head` or `limits.headers`.",
    ),
    "not-implemented": Remedy(
        "The method is not registered and no route names it, or a transfer coding is not known.",
        "Name the method in `methods`.",
    ),
    "version-not-supported": Remedy(
        "The client speaks another version than HTTP/1.0 or 1.1.",
        "Have the client, or the load balancer, speak HTTP/1.1.",
    ),
    "internal-error": Remedy(
        "The gateway or a custom policy failed.",
        "The gateway's own log has the traceback under the `request_id`; correct the policy, or report it.",
    ),
    "no-configuration": Remedy(
        "The files had errors when the gateway started.",
        "`gateway status` or `gateway check` lists them; correct them: they are read at once.",
    ),
    "overloaded": Remedy(
        "There are more client connections than `limits` allow, no free descriptors, or bodies of requests to models "
        "and MCP servers have all of the memory that they may have (`limits.bodies_in_memory`); the log says which.",
        "Add a replica; raise `limits.connections` together with the number of open files (`LimitNOFILE`), or "
        "`limits.bodies_in_memory` together with the memory of the container or unit.",
    ),
    "circuit-open": Remedy(
        "The breaker of the route is open, because the service failed again and again.",
        "The reason says what failed: correct the service. Once `open` is over, requests that come try it. "
        "`PUT /breakers/ROUTE` of the admin API with the state `closed` lets all pass, whatever fails, until `auto`.",
    ),
    "concurrency-limit": Remedy(
        "The service has as many requests at once as its `concurrency` allows, or an endpoint of it has as many "
        "connections, and requests that wait for one, as `connections.max` and `connections.pending` do.",
        "`gateway last` names the service, and which of them it is; make the service faster, add endpoints, or raise "
        "that.",
    ),
    "load-shed": Remedy(
        "The gateway is behind, and routes of low priority are refused first.",
        "Add a replica, or look for custom code that keeps the loop: `gateway_loop_lag_seconds`.",
    ),
    "maintenance": Remedy(
        "`maintenance` is on.",
        "Switch it off in `middleware.yaml` or on the route.",
    ),
    "auth-unavailable": Remedy(
        "What verifies callers does not answer: the keys of an issuer, introspection or `forward_auth`.",
        "`gateway status` names it; make it reachable, and look at its certificate.",
    ),
    "audit-unavailable": Remedy(
        "The audit log cannot be written, and `on_failure` is `closed`.",
        "`gateway status` says why; make room on its disk.",
    ),
    "store-unavailable": Remedy(
        "Redis or the file of the quotas does not answer, and `on_failure` is `closed`.",
        "`gateway status` says why; start Redis, or free the file.",
    ),
    "gateway-ended": Remedy(
        "This gateway was stopped, and what was in flight at `drain.deadline` was cut off: requests, streams, "
        "WebSockets in the middle of a message. It is in logs only.",
        "Raise `drain.deadline` where requests or streams are to end by themselves, or start the next gateway with "
        "`--takeover`.",
    ),
    "not-cached": Remedy(
        "The client asked for a stored response only (`only-if-cached`), and there is none.",
        "Ask without it.",
    ),
    "client-gone": Remedy(
        "The connection ended before the whole answer was sent: the client closed it, or did not read. It is in logs "
        "only; `error` in the access log says which.",
        "Look for time-outs of clients and load balancers that are shorter than the backend's time.",
    ),
    "upstream-unresolved": Remedy(
        "The name of the backend does not resolve.",
        "Correct the name in `routes.yaml` or `models.yaml`, or the name server; `getent hosts NAME` on this machine "
        "shows what it answers.",
    ),
    "upstream-refused": Remedy(
        "Nothing listens at the backend's address.",
        "Start the backend, or correct its address and port; `gateway top` shows all endpoints.",
    ),
    "upstream-tls": Remedy(
        "The backend's certificate is expired, for another name, or of an unknown issuer; or the backend demands a "
        "certificate of the gateway (mutual TLS), or speaks no TLS.",
        "`gateway status` and the access log's `error` say which, and what to do about it: renew the certificate; name "
        "its issuer in `tls.ca` of the service, or what it is valid for in `tls.server_name`; name a certificate of "
        "the gateway in `tls.certificate_file` and `tls.key_file`; or set `protocol: http`. Where an address is "
        "named in place of a service, write `http://` there; certificates need a service.",
    ),
    "upstream-reset": Remedy(
        "The backend closed the connection before its response was whole.",
        "Look at the backend's log for a crash or a time-out there. If it never answered, its port may speak TLS: set "
        "`protocol: https` of the service, or write `https://` where its address stands.",
    ),
    "upstream-bad-response": Remedy(
        "The backend sent an invalid HTTP response, or one with more header lines than 64 KiB.",
        "The access log's `error` says which. Of a head that is too large: have the backend send fewer or shorter "
        "headers, cookies for the most part. Else see that the port speaks HTTP, and with or without TLS as the "
        "target says; of a provider of models, that its keys are valid.",
    ),
    "upstream-unavailable": Remedy(
        "The service has no endpoint that may get requests.",
        "`gateway top` says why each is out; `gateway status` whether their source answers.",
    ),
    "upstream-down": Remedy(
        "A health check failed while the request waited.",
        "`gateway top` has the reason; correct the backend or its `health` check.",
    ),
    "upstream-connect-timeout": Remedy(
        "The backend did not accept a connection in time.",
        "Look for a firewall that drops packets, and at the backend's load; `timeout.connect` of the route "
        "is the limit.",
    ),
    "upstream-timeout": Remedy(
        "The backend did not answer in time.",
        "Look at its load; where it may take longer, raise the limit that the access log's `error` names.",
    ),
}
"""Remedies by the end of the problem type."""

CODES: Final[Mapping[str, Remedy]] = {
    "background_not_allowed": Remedy(
        "What an answer takes that goes on without a connection is not counted, there is a budget, and the request "
        "does not say how much it may be.",
        "Send it without `background`, or without what the message names; see Background in budgets.md.",
    ),
    "batch_not_allowed": Remedy(
        "A batch would get round a budget, a quota, a guardrail or a list of models.",
        "Send its requests one by one, or give these callers a route and a profile without such.",
    ),
    "chat_completion_not_found, response_not_found, file_not_found, batch_not_found, conversation_not_found": Remedy(
        "Nobody has it, another tenant has it, or it is not known which provider does.",
        "Ask for it by the id that this gateway gave out; see Files, batches and conversations in models.md.",
    ),
    "content_refused": Remedy(
        "A guardrail refuses what is said.", "`gateway last` names the guardrail; the message has its sentence."
    ),
    "context_length_exceeded": Remedy(
        "The request is longer than `max_context_tokens`.",
        "Shorten it, lower its output limit, or name a profile with more room as `overflow`.",
    ),
    "guardrail_failed": Remedy(
        "The code of a guardrail failed, and `on_failure` is `refuse`.", "The gateway's own log has the traceback."
    ),
    "insufficient_quota": Remedy(
        "A budget is used up.", "Wait for `Retry-After`, or ask for less; `gateway models budgets` shows what is left."
    ),
    "invalid_api_key": Remedy("The key is none of a consumer of this gateway.", "As of `unauthenticated` above."),
    "invalid_content_encoding, unsupported_content_encoding": Remedy(
        "The body is not compressed as `Content-Encoding` says.", "Send it plain, or with gzip or deflate."
    ),
    "invalid_request": Remedy(
        "The body cannot be read, or could be read in more than one way.", "The message names the member."
    ),
    "list_not_available": Remedy(
        "Lists show what all callers have stored with a key, and several providers have several lists.",
        "Ask by id; `list_stored: true` in models.yaml gives lists to all callers.",
    ),
    "mixed_providers": Remedy(
        "The request refers to what different providers, or another one than that of its model, have issued.",
        "Upload the files to one provider: `POST /v1/files?model=NAME`.",
    ),
    "model_invalid": Remedy(
        "`model` is too long, not printable, or in the wrong place.", "Name one model, in the body."
    ),
    "model_missing": Remedy(
        "No model is named, and several providers could be meant.",
        "Add `model`; of files, batches and their lists in the query: `?model=NAME`.",
    ),
    "model_not_allowed": Remedy(
        "`models` of the consumer in auth.yaml does not have it.", "Name another one, or add it there."
    ),
    "model_not_found": Remedy(
        "No provider that speaks this API, or that the profile has, offers the model.",
        "`gateway explain --body` says who was left out and why; add it to `models` of a provider, or an alias.",
    ),
    "previous_response_not_found, unknown_origin": Remedy(
        "Several providers could have made what the request refers to: it was made elsewhere, or too long ago.",
        "Refer to it by the id that this gateway gave out; send the conversation in full, or the file again.",
    ),
    "profile_not_allowed": Remedy(
        "`allow` of every profile that fits leaves the caller out.", "Add its tenant, group or name, or a default."
    ),
    "provider_unavailable": Remedy(
        "The one provider that made what the request refers to does not answer.",
        "`gateway status` says why; send the request without the reference to have another one answer.",
    ),
    "rate_limit_exceeded": Remedy("A rate limit, a quota, or all providers' limits.", "Wait for `Retry-After`."),
    "request_too_large": Remedy(
        "The body is larger than is taken here.",
        "Send less, or raise `max_body` (JSON) or `max_upload` (forms) of models.yaml, or `max_body` of the route.",
    ),
    "temperature_out_of_bounds": Remedy(
        "`temperature` is outside the bounds of the profile.", "Send one within; the message has the bounds."
    ),
    "too_many_tools": Remedy(
        "The request offers more than 1000 tools where a quota of tools applies.", "Offer fewer in one request."
    ),
    "unknown_url": Remedy(
        "No API of models has this method and path.", "Correct `base_url` of the client; see models.md for the paths."
    ),
    "unsupported_parameter": Remedy(
        "The request is translated for its provider, which has no such field.",
        "Leave it out, or have it dropped: `unsupported: drop` of the provider.",
    ),
}
"""Remedies by the codes in errors on routes to models; several with the same one, with commas."""

_OF_MODELS: Final = """
## Codes of models

On routes to models errors are in the format of the client's SDK: OpenAI's with a `code`, those of Anthropic and Gemini
with the same message, and no place for a code. Codes of other problems are their types with underscores,
`upstream_timeout`. What a provider says is passed on as it came.

| code | cause | remedy |
|---|---|---|"""


def render() -> str:
    """docs/problems.md."""
    codes = [
        f"| {', '.join(f'`{code}`' for code in named.split(', '))} | {each.cause} | {each.remedy} |"
        for named, each in CODES.items()
    ]
    return "\n".join([_HEAD, *(part for kind in ErrorKind for part in _section(kind)), _OF_MODELS, *codes])


def _section(kind: ErrorKind) -> Iterator[str]:
    remedy = REMEDIES[kind.slug]
    yield f"\n## {kind.slug}\n"
    yield f"{kind.status}, `{kind.type}`: {kind.title}.\n"
    yield f"*Cause:* {remedy.cause}\n"
    yield f"*Remedy:* {remedy.remedy}"


if __name__ == "__main__":
    print(render())

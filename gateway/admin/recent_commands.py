"""`gateway last`: the last requests that a running gateway had, where they went and why."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import click

from gateway.admin.client import ADMIN, ask
from gateway.json_output import JSON, print_json


@click.command()
@click.argument("request_id", required=False)
@click.option("-n", "count", default=1, show_default=True, type=click.IntRange(1, 200), help="How many.")
@click.option("--route", help="Only those of this route.")
@ADMIN
@JSON
def last(request_id: str | None, count: int, route: str | None, admin: str, as_json: bool) -> None:
    """Show the last requests: where they went and why, who decided what, and which limits they used.

    REQUEST_ID is that of a problem document or of the access log. 200 requests are remembered.
    """
    wanted = {"id": request_id, "route": route, "limit": str(count)}
    found = ask(admin, "GET", "/requests", params={key: value for key, value in wanted.items() if value is not None})
    source = click.get_current_context().get_parameter_source("admin")
    named = f" --admin {shlex.quote(admin)}" if source is click.core.ParameterSource.COMMANDLINE else ""
    if as_json:
        print_json(found)
    elif not found:
        click.echo("no request has come yet" if route is None else f"no request of the route {route} has come yet")
    else:
        click.echo("\n\n".join("\n".join(_lines(each, named)) for each in found))


def _lines(each: Mapping[str, Any], named: str) -> Iterator[str]:
    yield f"{each['method']} {each['original_path']}  answered {each['status']} in {each['ms']:g} ms, at {each['at']}"
    yield f"request id: {each['request_id']}"
    claimed = " (its X-Forwarded-For is not believed: not in trusted_proxies)" if each["claimed_client"] else ""
    by = f" by {each['credential']}" if each.get("credential") else ""
    yield f"from: {each['client']}{claimed}, {each['consumer'] or 'no consumer'}{by}"
    if each["route"] is not None:
        yield f'route: "{each["route"]}"'
        yield f"why: {each['why']}"
    if each["sent"] is not None:
        yield f"sent: {each['method']} {each['sent']} to {each['upstream']}"
        yield from (f"  {_attempt(attempt)}" for attempt in each["attempts"])
    if each["cache"] is not None:
        yield f"cache: {each['cache']}"
    if each.get("model") is not None:
        yield from _model(each["model"], cached=each["cache"] == "hit")
    yield from _listed("limits", [*each["limits"], *_budgets(each.get("model") or {})], "none counted it")
    yield from _listed("decisions", each["decisions"], "no rule refused it")
    if each["error"] is not None:
        yield f"error: {each['error']}"
    if each["method"] == "-":
        return  # nothing of it was read
    url = each["original_path"] if each["host"] == "" else f"http://{each['host']}{each['original_path']}"
    yield f"more: gateway explain --running{named} {each['method']} {shlex.quote(url)}"


def _model(model: Mapping[str, Any], *, cached: bool) -> Iterator[str]:
    rule = "as no rule fits" if model["rule"] is None else f"by rule {model['rule']}"
    who = f"sent to {model['backend']}" if model["backend"] else "no provider was asked"
    if cached:
        who = f"answered from the cache, once by {model['backend']}"
    asked = model["asked"] or (
        "none is named" if model["backend"] else "none is named, or none that this caller may use"
    )
    named = asked if asked.isprintable() else ascii(asked)  # it is the client's text
    yield f"model: {named}; {who}; " + (
        f"profile {model['profile']} {rule}" if model["profile"] else "no profile was chosen"
    )
    if len(model["candidates"]) > 1:
        yield f"  candidates: {', '.join(model['candidates'])}"
    yield from (f"  left out: {left['provider']}: {left['reason']}" for left in model["left_out"])
    yield from (f"  switched: {each['from']} to {each['to']}: {each['reason']}" for each in model["switches"])
    if "input_tokens" in model:
        cost = "no known price" if model["cost_usd"] is None else f"{model['cost_usd']:.6f} dollars"
        estimated = " (estimated)" if model["estimated"] else ""
        yield f"  took: {model['input_tokens']} tokens in, {model['output_tokens']} out{estimated}, {cost}"


def _budgets(model: Mapping[str, Any]) -> Iterator[str]:
    if "reserved_tokens" in model:
        reserved, charged = model["reserved_tokens"], model["committed_tokens"]
        yield f"budgets of models: {reserved} tokens reserved, {charged} charged"


def _attempt(attempt: Mapping[str, Any]) -> str:
    ended = attempt.get("error") or f"status {attempt.get('status', '-')}"
    following = f"; then another, because {attempt['why_next']}" if attempt.get("why_next") else ""
    if attempt.get("why_next") == "hedged":
        following = "; given up, as another attempt ran beside it (hedge) and its answer was taken"
    if attempt.get("why_not"):
        following += f"; none after it: {attempt['why_not']}"
    if "queued_ms" in attempt:
        following = f", and {attempt['queued_ms']:g} ms in the queue for a connection before{following}"
    return f"{attempt['endpoint']}: {ended} after {attempt['ms']:g} ms{following}"


def _listed(name: str, items: list[str], none: str) -> Iterator[str]:
    yield f"{name}:" if items else f"{name}: {none}"
    yield from (f"  {item}" for item in items)

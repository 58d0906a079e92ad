"""`gateway status` and `gateway top`: what a running gateway does, in a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from gateway.admin.client import ADMIN, RELOAD_SECONDS, ask
from gateway.admin.tables import table
from gateway.json_output import JSON, print_json
from gateway.plurals import counted
from gateway.roles import ALL, parse_roles
from gateway.seconds_option import Seconds

CLEAR = "\033[H\033[2J"
MOST = 2000  # services or endpoints that are asked for
_HEAD = ("SERVICE", "ENDPOINT", "WEIGHT", "ZONE", "STATE", "SINCE", "IN FLIGHT", "CONNECTIONS", "PROBE", "REASON")


@click.command()
@ADMIN
@JSON
def status(admin: str, as_json: bool) -> None:
    """Show the configuration, current problems, and every service. Exit code 2 if there are problems."""
    health, services = ask(admin, "GET", "/health"), ask(admin, "GET", "/services", params={"limit": MOST})
    known = ask(admin, "GET", "/breakers", params={"limit": MOST})
    breakers = [each for each in known if each["state"] != "closed"]
    ready = health.get("status", "ok") == "ok"
    wrong = breakers or health["errors"] or health["failing"] or any(each["state"] != "up" for each in services)
    if as_json:
        print_json({"health": health, "services": services, "breakers": breakers})
    else:
        out = [f"{_name(each)} is {each['state']}: {each['reason']}" for each in services if each["reason"]]
        click.echo("\n".join([*_health(health), *out, *map(_breaker, breakers)]))
        rows = [(_name(each), each["state"], _in(each), _source(each)) for each in services]
        click.echo("\n" + table(("SERVICE", "STATE", "ENDPOINTS IN", "SOURCE"), rows))
    raise SystemExit(2 if wrong or not ready else 0)


@click.command()
@ADMIN
@JSON
def reload(admin: str, as_json: bool) -> None:
    """Make a running gateway read its files again, now. Exit code 1, and every error, if it keeps the old ones."""
    health = ask(admin, "POST", "/reload", seconds=RELOAD_SECONDS)
    if as_json:
        print_json(health)
    else:
        reloads = counted(health["reloads"], "reload")
        click.echo(f"configuration {health['digest']} is served, after {reloads}")


@click.command()
@ADMIN
@click.option("--service", help="Only this one.")
@click.option("--interval", default=1.0, show_default=True, type=Seconds(0.2, 60), help="Seconds.")
@click.option("--count", type=click.IntRange(1), help="How many times to look. Unset: until Ctrl-C.")
@click.option("--rows", default=40, show_default=True, type=click.IntRange(1), help="Endpoints to show, the busiest.")
def top(admin: str, service: str | None, interval: float, count: int | None, rows: int) -> None:
    """Watch the endpoints live: requests and failures per second, in flight, state and why. Ctrl-C ends it."""
    wanted = {"limit": str(MOST)} | ({"service": service} if service else {})
    before: Mapping[tuple[str, str], Any] = {}
    looked, looks = 0.0, 0
    while True:
        endpoints, health = ask(admin, "GET", "/endpoints", params=wanted), ask(admin, "GET", "/health")
        seconds, looked, looks = time.monotonic() - looked, time.monotonic(), looks + 1
        screen = "\n".join([*_health(health), "", _top(endpoints, before, seconds, rows)])
        click.echo((CLEAR if sys.stdout.isatty() else "") + screen)
        if looks == count:
            return
        before = {_key(each): each for each in endpoints}
        try:
            time.sleep(interval)
        except KeyboardInterrupt:
            return


def _top(endpoints: Sequence[Any], before: Mapping[tuple[str, str], Any], seconds: float, rows: int) -> str:
    """The busiest endpoints, with what came since the last look."""

    def rate(each: Any, name: str) -> float:
        former = before.get(_key(each))
        return max(0, each[name] - former[name]) / seconds if former else 0.0

    busiest = sorted(endpoints, key=lambda each: (-rate(each, "requests"), -each["in_flight"], _key(each)))
    head = (*_HEAD[:2], "REQUESTS/S", "FAILURES/S", *_HEAD[2:])
    lines = []
    for each in busiest[:rows]:
        probe = each["last_probe"]
        probed = "-" if probe is None else f"{'passed' if probe['passed'] else 'failed'} in {probe['ms']:g} ms"
        connections = f"{each['connections']['open']} ({each['connections']['idle']} idle)"
        words = (str(each["weight"]), each["zone"] or "-", each["state"], each["since"] or "-", str(each["in_flight"]))
        cells = (each["service"], each["endpoint"], *words, connections, probed, each["reason"] or "-")
        lines.append((*cells[:2], f"{rate(each, 'requests'):.1f}", f"{rate(each, 'failures'):.1f}", *cells[2:]))
    more = f"\n... and {len(busiest) - rows} more (--rows)" if len(busiest) > rows else ""
    return table(head, lines) + more


def _key(endpoint: Any) -> tuple[str, str]:
    return endpoint["service"], endpoint["endpoint"]


def _name(service: Any) -> str:
    """A provider of models or an MCP server is known by its address, unless it is a service of routes.yaml."""
    kinds = (("provider", "providers"), ("MCP server", "mcp"))
    users = "; ".join(f"{kind} {', '.join(service[key])}" for kind, key in kinds if service.get(key))
    return f"{service['service']} ({users})" if users else str(service["service"])


def _in(service: Any) -> str:
    """Endpoints that get requests, and of those, the ones that fail what they get."""
    failing = f", {service['failing']} failing" if service["failing"] else ""
    return f"{service['in']} of {service['of']}{failing}"


def _source(service: Any) -> str:
    return f"{service['source']}, stale: {service['stale']}" if service.get("stale") else service["source"]


def _breaker(each: Any) -> str:
    return f"breaker of route {each['route']} for {each['target']}: {each['state']}, {each['reason']}"


def _health(health: Any) -> list[str]:
    """Whether it is ready, the configuration, and what does not work, a line each."""
    state = " (rolled back: the files say something else)" if health["rolled_back"] else ""
    wrong = [f"error: {each}" for each in health["errors"]] + [f"failing: {each}" for each in health["failing"]]
    roles = "" if parse_roles(health["roles"]) == ALL else f", roles {health['roles']}"
    loaded = f"configuration {health['digest'] or '(none)'}{state}, {counted(health['reloads'], 'reload')}{roles}"
    maintained = [f"maintenance: {health['maintenance']}"] if health.get("maintenance") else []
    return [*_ready(health), loaded, *maintained, *_control_plane(health.get("control_plane")), *wrong]


def _ready(health: Any) -> list[str]:
    """Why it is not ready, and which gateway ends beside it."""
    status, former = health.get("status", "ok"), health.get("former")
    lines = [] if status == "ok" else [health.get("ending") or f"not ready: {status}"]
    return lines if former is None else [*lines, f"took over from pid {former}, which finishes what it had begun"]


def _control_plane(report: Any) -> list[str]:
    """The control plane of the gateway, and its revision."""
    if report is None:
        return []
    how = (
        f"connected by {report['by']}"
        if report["connected"]
        else f"not connected since {report['since']}: {report['failure']}"
    )
    runs = f"runs {report['revision'][:12]} ({report['source']})" if report["revision"] else "runs nothing"
    wanted = "" if report["wanted"] in (None, report["revision"]) else f", {report['wanted'][:12]} is wanted"
    return [f"control plane {report['url']}: {how}; {runs}{wanted}"]

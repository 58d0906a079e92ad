"""`gateway agents status`: the states that bridges write, for people."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.agents.standing import STATUS_SECONDS, status_path

LATE_SECONDS: Final = 5 * STATUS_SECONDS  # without a word, until a bridge counts as hung
_COUNTS: Final = ("sent", "received", "refused", "dropped", "missed", "notes")


def read_all(state: Path, roles: Sequence[str]) -> list[dict[str, Any]]:
    """The state of each, and whether it works; nothing of a role that was never served."""
    found = []
    for role in roles:
        with contextlib.suppress(OSError, ValueError, TypeError, LookupError, AttributeError):
            judged = _judged(orjson.loads(status_path(state, role).read_bytes()))
            list(lines([judged]))  # what cannot be shown is no status
            found.append(judged)
    return found


def _judged(status: dict[str, Any]) -> dict[str, Any]:
    age = time.time() - float(status.get("at") or 0)
    problems = list(status.get("problems") or ())
    state = status.get("state")
    if state != "ended" and not _lives(status.get("pid")):
        state, problems = "dead", ["its process is gone; start it again"]
    elif state != "ended" and age > LATE_SECONDS:
        state, problems = "hung", [f"it has not said anything for {age:.0f} s"]
    works = state == "connected" and not problems
    return {**status, "state": state, "problems": problems, "age": round(age, 1), "works": works}


def _lives(pid: Any) -> bool:
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (OSError, TypeError, ValueError):
        return False
    return True


def lines(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """All of them in words."""
    for each in found:
        where = f"node {each['node']}, {each['address']}" if each.get("node") is not None else "no node"
        yield f"{each['hostname']} is {each['state']} ({where}; the gateway by {each['gateway']})"
        for problem in each["problems"]:
            yield f"  problem: {problem}"
        for peer in each["peers"]:
            ages = [
                f"{what} {peer[key]:.0f} s ago" if peer[key] is not None else f"nothing {what} yet"
                for what, key in (("sent", "last_sent"), ("received", "last_received"))
            ]
            waiting = [f"{peer['waiting']} wait"] if peer["waiting"] else []
            yield f"  {peer['hostname']}: {peer['state']}; {', '.join([*ages, *waiting])}"
        for what in _COUNTS:
            counts = ", ".join(f"{name} {number}" for name, number in sorted((each.get(what) or {}).items()) if number)
            if counts:
                yield f"  {what}: {counts}"

"""Runs tests: what was expected, what became of it, and why."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.config.models import Configuration
from gateway.explain import explain
from gateway.snapshot import Snapshot
from gateway.testing.file import PlacedCase
from gateway.testing.model import Expect, Request
from gateway.testing.offline import Offline, Outcome


@dataclass(frozen=True, slots=True)
class Compared:
    """One thing that was expected, and what it is. `key` is `headers.NAME` for a header."""

    key: str
    expected: Any
    got: Any
    same: bool


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one test; `why` is for failed ones, a sentence each."""

    placed: PlacedCase
    compared: Sequence[Compared]
    why: Sequence[str]

    @property
    def passed(self) -> bool:
        """Whether all is as expected."""
        return all(each.same for each in self.compared)


async def run(configuration: Configuration, snapshot: Snapshot, cases: Sequence[PlacedCase]) -> AsyncIterator[Result]:
    """Each test by itself, in their order. `snapshot` is of the same configuration, for the reasons."""
    offline = Offline(configuration)
    for placed in cases:
        request, expect = placed.case.request, placed.case.expect
        try:
            outcome = await offline.outcome(request)
        except ValueError as error:
            yield Result(placed, [Compared("request", "a path or a URL", request.path, same=False)], [str(error)])
            continue
        compared = list(_compared(expect, outcome))
        failed = not all(each.same for each in compared)
        yield Result(placed, compared, [each async for each in _reasons(snapshot, request, expect, outcome)] * failed)


def _compared(expect: Expect, outcome: Outcome) -> Iterator[Compared]:
    for key in Expect.model_fields:
        if key in expect.model_fields_set and key != "headers":
            expected, got = getattr(expect, key), getattr(outcome, key)
            yield Compared(key, expected, got, _same(key, expected, got))
    for name, value in expect.headers.items():
        got = outcome.headers.get(name)
        yield Compared(f"headers.{name}", value, got, value == got)


def _same(key: str, expected: Any, got: Any) -> bool:
    if got is None or expected is None:
        return expected is got
    if key == "path" and "?" not in expected:
        return bool(got.partition("?")[0] == expected)
    if key == "refused_by" and ":" not in expected:
        return expected in got.split(":")
    return bool(expected == got)


async def _reasons(snapshot: Snapshot, request: Request, expect: Expect, outcome: Outcome) -> AsyncIterator[str]:
    headers = list(request.headers.items())
    body = None if request.body is None else request.body.encode()
    said = await explain(snapshot, request.method, request.path, headers, request.client, body)
    if outcome.reason is not None:
        yield f"refused: {outcome.reason}"
    elif "why" in said:
        yield f"{said['result']}: {said['why']}"
    else:
        yield str(said["result"])
    if expect.status is not None and outcome.target is not None:
        yield f"it is forwarded to {outcome.target}: the status is for the backend to say, and only ours is known"
    route = expect.route
    if route is not None and route != outcome.route:
        lost = next((each for each in said.get("lost", ()) if each["route"] == route), None)
        if all(handler.route.id != route for handler in snapshot.handlers):
            yield f'there is no route "{route}"; `gateway routes` lists them'
        elif lost:
            yield f'not route "{route}" ({lost["path"]}): {lost["why"]}'
        else:
            yield f'route "{route}" is further off'

"""What `gateway check` says of cookies of splits."""

from __future__ import annotations

import pytest

from gateway.config.checks import authorization, paths_in_conditions
from gateway.config.checks.splits import sticky, warnings
from tests.config.support import parsed

SERVICES = "services: {a: {endpoints: ['a:1'], balance: {sticky: {cookie: ep}}}, b: {endpoints: ['b:1']}}\n"
SPLIT = "split: [{target: a, weight: 1}, {target: b, weight: 0}]"


def said(*routes: str, middleware: str = "") -> list[str]:
    listed = ", ".join(f"{{path: /{number}, {route}}}" for number, route in enumerate(routes))
    configuration = parsed(f"{SERVICES}routes: [{listed}]", middleware=middleware)
    return [fault.message for check in (warnings, sticky) for fault in check(configuration)]


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ([f"target: a, {SPLIT}, sticky: {{cookie: gw}}"], []),
        ([f"target: a, {SPLIT}"], ["add sticky to the route"]),
        (["target: a, sticky: {cookie: gw}"], ["balance: {sticky: {cookie: NAME}} at the service"]),
        (["target: a, split: [{target: b, when: {group: x}}], sticky: {cookie: gw}"], ["no entry of split"]),
        ([f"target: a, {SPLIT}, sticky: {{cookie: ep}}"], ["the service a has this cookie, too"]),
        ([f"target: a, {SPLIT}, sticky: {{cookie: gw}}"] * 2, []),
        (
            [
                f"target: a, {SPLIT}, sticky: {{cookie: gw}}",
                "target: a, split: [{target: b, weight: 1}], sticky: {cookie: gw}",
            ],
            ["for a split over others"],
        ),
        (
            [
                f"target: a, {SPLIT}, sticky: {{cookie: gw}}",
                f"target: a, {SPLIT}, sticky: {{cookie: gw, secret: 0123456789abcdef}}",
            ],
            ["with another secret"],
        ),
        (["target: b, split: [{target: a, weight: 0}], sticky: {cookie: gw}"], []),
        (["target: a, split: [{target: a, weight: 0}], sticky: {cookie: gw}"], ["all weights are 0"]),
        ([f"target: a, {SPLIT}, sticky: {{cookie: gw}}, cache: true"], ["hardly anything is cached"]),
        ([f"target: a, {SPLIT}, sticky: {{cookie: gw}}, cache: {{with_credentials: true}}"], []),
    ],
)
def test_cookies_that_cannot_do_what_they_are_for(routes: list[str], expected: list[str]) -> None:
    """Without weights, in the way of another one, or of the cache; each is reported with the remedy."""
    found = said(*routes)
    assert len(found) == len(expected)
    assert all(part in line for part, line in zip(expected, found, strict=True))


def test_the_cache_of_all_routes() -> None:
    """The cache of middleware.yaml counts too, where the route has it."""
    route = f"target: a, {SPLIT}, sticky: {{cookie: gw}}"
    assert "hardly anything" in said(route, middleware="cache: {}")[0]
    assert said(f"{route}, cache: false", middleware="cache: {}") == []


AUTH = """
schemes: {keys: {api_key: {}}, open: {anonymous: {consumer: guest}}}
consumers: [{name: ann, groups: [beta], tenant: acme}]
"""


@pytest.mark.parametrize(
    ("when", "schemes", "place", "expected"),
    [
        ("{group: beta}", "[keys]", None, ""),
        ("{group: [beta, betta]}", "[keys]", ("group", 1), 'did you mean "beta"?'),
        ("{consumer: bob}", "[keys]", ("consumer", 0), 'no consumer has the consumer "bob"'),
        ("{consumer: guest}", "[keys, open]", None, ""),
        ("{tenant: acme}", "[]", (), "the route accepts no schemes"),
        ("'\"beta\" in groups'", "[]", (), "the route accepts no schemes"),
        ("'path == \"/api/x\"'", "[keys]", ("condition",), "without base_path"),
        ("'path == \"/x\"'", "[keys]", None, ""),
    ],
)
def test_a_when_that_nothing_fits(when: str, schemes: str, place: tuple[str | int, ...] | None, expected: str) -> None:
    """Unknown names, unauthenticated callers, and paths that no route has: as for `authorize`."""
    route = f"{{path: /x, target: a, auth: {schemes}, split: [{{target: b, when: {when}}}]}}"
    configuration = parsed(f"{SERVICES}routes: [{route}]", auth=AUTH)
    found = [*authorization.warnings(configuration), *paths_in_conditions.unmet(configuration)]
    assert [fault.path for fault in found] == ([] if place is None else [("routes", 0, "split", 0, "when", *place)])
    assert all(expected in fault.message for fault in found)

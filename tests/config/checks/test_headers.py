import pytest

from gateway.config.checks.headers import dropped_but_matched
from tests.config.support import parsed

WHEN = "split: [{target: b:1, when: {header: {%s: '1'}}}]"


@pytest.mark.parametrize(
    ("route", "place"),
    [
        ("headers: {x_env: '1'}", ("routes", 0, "headers", "x_env")),
        (WHEN % "x_env", ("routes", 0, "split", 0, "when", "header", "x_env")),
        (WHEN % "x.env", ("routes", 0, "split", 0, "when", "header", "x.env")),
        (WHEN % "x-env", None),
    ],
)
def test_what_decides_and_does_not_reach_the_backend(route: str, place: tuple[str | int, ...] | None) -> None:
    """A header that a route or a split goes by, and that no backend gets, is reported with the remedy."""
    found = list(dropped_but_matched(parsed(f"- {{path: /x, target: 'a:1', {route}}}")))
    assert [fault.path for fault in found] == ([] if place is None else [place])
    assert all("if it needs it, " in fault.message for fault in found)

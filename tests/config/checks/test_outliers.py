"""What `gateway check` says of ejection rules."""

from __future__ import annotations

import pytest

from gateway.config.checks import WARNINGS, run
from tests.config.support import parsed


def warnings(endpoints: int, outliers: str) -> list[str]:
    addresses = ", ".join(f"'10.0.0.{number}:80'" for number in range(1, endpoints + 1))
    routes = f"services: {{a: {{endpoints: [{addresses}], {outliers}}}}}\nroutes: [{{path: /x, target: a}}]"
    return [str(problem) for problem in run(WARNINGS, parsed(routes), "warning") if "outliers" in str(problem)]


@pytest.mark.parametrize(
    ("endpoints", "outliers", "said"),
    [
        (1, "outliers: {consecutive: 3}", ["the last endpoint is never ejected"]),
        (1, "protocol: http", []),
        (3, "outliers: {max_ejected: 10%}", ["of 3 endpoints none is ever ejected; write 34% or more"]),
        (3, "outliers: {max_ejected: 34%}", []),
        (4, "outliers: {success_rate: {requests: 10}}", ["fewer than 5"]),
        (4, "outliers: {success_rate: {deviations: 0}}", []),
        (5, "outliers: {success_rate: {requests: 10}}", []),
    ],
)
def test_rules_that_eject_no_endpoint_are_named(endpoints: int, outliers: str, said: list[str]) -> None:
    """Of one endpoint, with too small a share, and by comparison among too few."""
    found = warnings(endpoints, outliers)
    assert len(found) == len(said)
    assert all(part in line for part, line in zip(said, found, strict=True))

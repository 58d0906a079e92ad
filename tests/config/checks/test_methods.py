from __future__ import annotations

import pytest

from gateway.config.checks import WARNINGS, run
from tests.config.support import parsed


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ("[GET, POST]", []),
        ("[GET, GTE]", [": routes[0].methods[1]: GTE is no registered method; is it GET?"]),
        ("[PSOT, DELTE]", ["PSOT is no registered method; is it POST?", "is it DELETE?"]),
        ("[PURGE, BREW, BAN, NOTIFY, SUBSCRIBE]", []),
    ],
)
def test_a_misspelt_method_is_reported(methods: str, said: list[str]) -> None:
    """A method that is much like a registered one is probably meant to be that; others of one's own are fine."""
    configuration = parsed(f"routes: [{{path: /x, methods: {methods}, target: 127.0.0.1:1}}]")
    found = [str(problem) for problem in run(WARNINGS, configuration, "warning") if "registered" in problem.message]
    assert len(found) == len(said)
    assert all(part in line for part, line in zip(said, found, strict=True))

"""A prefix to be removed that no path begins with is warned of."""

from __future__ import annotations

import pytest

from gateway.config.checks.prefixes import never_stripped
from tests.config.support import parsed


@pytest.mark.parametrize(
    ("paths", "prefix", "warned"),
    [
        ("[/j/*]", "/k", True),
        ("[/j/*]", "/j", False),
        ("[/j]", "/j/k", True),
        ("[/j/*]", "/j/k", False),
        ("['/{name}/*']", "/k", False),
        ("['/a{name}/b']", "/k/c", True),
        ("[/j/*, /k/*]", "/k", False),
        ("[/j%6B/*]", "/jk", False),
        ("[/*]", "/k/l", False),
        ("[/k-2/*]", "/k", True),
    ],
)
def test_a_prefix_that_is_never_there(paths: str, prefix: str, *, warned: bool) -> None:
    """Only where no path of the route can begin with it, by whole segments."""
    routes = f"- {{paths: {paths}, target: 'a:1', strip_prefix: {prefix}}}\n"
    found = [each.path for each in never_stripped(parsed(routes=routes))]
    assert found == ([("routes", 0, "strip_prefix")] if warned else [])

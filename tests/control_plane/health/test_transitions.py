"""What a gateway's status becomes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control_plane.health.transitions import Seen, after

STATUSES = ("ACTIVE", "INACTIVE", "PROVISIONING", "ERROR")


@pytest.mark.parametrize(
    ("status", "looks", "becomes"),
    [
        ("ACTIVE", "-", "ACTIVE"),
        ("ACTIVE", "--", "ERROR"),
        ("ACTIVE", "-+-", "ACTIVE"),
        ("ACTIVE", "-?-", "ERROR"),
        ("ERROR", "-", "ERROR"),
        ("ERROR", "+", "ACTIVE"),
        ("ERROR", "+-", "ACTIVE"),
        ("INACTIVE", "---", "INACTIVE"),
        ("INACTIVE", "+", "ACTIVE"),
        ("PROVISIONING", "+", "PROVISIONING"),
        ("PROVISIONING", "---", "PROVISIONING"),
        ("ACTIVE", "???", "ACTIVE"),
    ],
)
def test_a_status_follows_from_looks_in_a_row(status: str, looks: str, becomes: str) -> None:
    """Two failures make an error of what is active; one success makes it active, but not while it is provisioned."""
    seen = Seen(status, 0)
    for look in looks:
        seen = after(seen, {"+": True, "-": False, "?": None}[look])
    assert seen.status == becomes


def test_a_provider_decides_for_its_gateways() -> None:
    """What is provisioned becomes active, or an error, as the provider says, at once."""
    assert after(Seen("PROVISIONING", 0), True, "ACTIVE").status == "ACTIVE"
    assert after(Seen("PROVISIONING", 0), None, "ERROR").status == "ERROR"
    assert after(Seen("ACTIVE", 0), True, "PROVISIONING").status == "PROVISIONING"


@given(st.sampled_from(STATUSES), st.lists(st.sampled_from([True, False, None])))
def test_only_failures_make_an_error_and_only_successes_activity(status: str, looks: list[bool | None]) -> None:
    """Whatever is seen: nothing becomes an error by a success, nor active by a failure."""
    seen = Seen(status, 0)
    for look in looks:
        then = after(seen, look)
        assert then.status == seen.status or (then.status, look) in {("ERROR", False), ("ACTIVE", True)}
        seen = then

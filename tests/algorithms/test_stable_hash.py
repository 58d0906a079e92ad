from __future__ import annotations

from gateway.algorithms.stable_hash import stable_hash


def test_it_is_the_same_everywhere() -> None:
    """Gateways of any process, machine and version agree on the hash of a key."""
    assert stable_hash(b"client") == VALUE
    assert stable_hash(b"client", b"other") != VALUE


VALUE = 1760354825606609250

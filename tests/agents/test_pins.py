"""Pinned keys: a file that only a decision changes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.agents.pins import PinsError, pin, read_pins, unpin

KEY = bytes(range(32))
OTHER = bytes(32)


def test_the_first_key_stays_until_it_is_replaced(tmp_path: Path) -> None:
    """Another one at a later contact changes nothing."""
    path = str(tmp_path / "state" / "pins.json")
    assert read_pins(path) == {}
    assert pin(path, "acme-auth", KEY) == KEY
    assert pin(path, "acme-auth", OTHER) == KEY
    assert pin(path, "acme-auth", OTHER, replace=True) == OTHER
    assert read_pins(path) == {"acme-auth": OTHER}
    assert unpin(path, "acme-auth")
    assert not unpin(path, "acme-auth")


def test_only_its_user_reads_it(tmp_path: Path) -> None:
    """It is 0600 as soon as it is there."""
    pin(str(tmp_path / "pins.json"), "acme-auth", KEY)
    assert (tmp_path / "pins.json").stat().st_mode & 0o777 == 0o600


def test_roles_that_share_it_lose_nothing_of_each_other(tmp_path: Path) -> None:
    """Pins that are made at once are all there."""
    path = str(tmp_path / "pins.json")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: pin(path, f"acme-{number}", KEY), range(40)))
    assert len(read_pins(path)) == 40


@pytest.mark.parametrize("text", ["", "[]", '{"acme-auth": "x"}', '{"acme-auth": {"key": "x"}}', "{"])
def test_a_file_that_is_no_list_of_pins_is_an_error(tmp_path: Path, text: str) -> None:
    """It is not taken for an empty one, which would pin anew."""
    (tmp_path / "pins.json").write_text(text)
    with pytest.raises(PinsError, match=r"pins\.json"):
        read_pins(str(tmp_path / "pins.json"))
    with pytest.raises(PinsError):
        pin(str(tmp_path / "pins.json"), "acme-auth", KEY)

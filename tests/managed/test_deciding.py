"""What a gateway does about what its control plane wants."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.control_messages import Wanted
from gateway.managed.deciding import Step, is_older, next_step

A, B = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    ("wanted", "running", "edited", "refused", "step"),
    [
        (None, A, False, False, None),
        (Wanted(), A, False, False, None),
        (Wanted(reapply=True), A, True, False, None),
        (Wanted(upload=True), A, False, False, "upload"),
        (Wanted(revision=A), A, False, False, "confirm"),
        (Wanted(revision=A), A, True, True, "confirm"),
        (Wanted(revision=B), A, False, False, "apply"),
        (Wanted(revision=B), None, False, False, "apply"),
        (Wanted(revision=B), A, False, True, None),
        (Wanted(revision=B), A, True, False, None),
        (Wanted(revision=B, reapply=True), A, True, False, "apply"),
        (Wanted(revision=B, reapply=True), A, True, True, None),
        (Wanted(revision=B, upload=True), A, True, False, "upload"),
        (Wanted(revision=B, upload=True), A, False, False, "apply"),
        (Wanted(revision=B, upload=True), A, False, True, "upload"),
    ],
)
def test_nothing_is_taken_away_and_local_changes_give_way_only_when_asked(
    wanted: Wanted | None, running: str | None, edited: bool, refused: bool, step: Step | None
) -> None:
    """Nothing wanted is nothing done; what was refused is not tried all the time."""
    assert next_step(wanted, running, edited=edited, refused=refused) == step


def test_local_files_are_sent_once() -> None:
    """A revision that the control plane has is not uploaded again."""
    assert next_step(Wanted(upload=True), A, sent=True) is None


@pytest.mark.parametrize(("seconds", "older"), [(-1, True), (0, False), (1, False)])
def test_what_was_wanted_before_is_older(seconds: int, older: bool) -> None:
    """A control plane that was restored from yesterday wants what it wanted then."""
    at = datetime(2026, 11, 26, tzinfo=UTC)
    wanted = Wanted(revision=B, wanted_at=at + timedelta(seconds=seconds))
    assert is_older(wanted, A, at) is older
    assert not is_older(wanted, B, at)
    assert not is_older(wanted, A, None)
    assert not is_older(Wanted(revision=B), A, at)

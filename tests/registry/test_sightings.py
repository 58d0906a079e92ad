"""How often what was there must be missing before it is gone."""

from __future__ import annotations

from gateway.registry.sightings import Sighting, Sightings
from gateway.upstream.member import Address, Member

A, B = (Member(Address(f"10.0.0.{number}", 80)) for number in (1, 2))


def seen(*members: Member, question: str = "q") -> dict[Address, Sighting]:
    return {member.address: Sighting(member, question) for member in members}


def test_what_is_missing_is_gone_after_three_answers() -> None:
    """An instance that comes back before that has lost nothing; a new one counts at once."""
    sightings = Sightings(hold=1000)
    assert sightings.take(seen(A), (), 0) == (A,)
    assert sightings.take(seen(B), (), 1) == (A, B)
    assert sightings.take({}, (), 2) == (A, B)
    assert sightings.take(seen(A), (), 3) == (A, B)
    assert sightings.take({}, (), 4) == (A,)
    assert sightings.incomplete
    assert sightings.take({}, (), 5) == (A,)
    assert sightings.take({}, (), 6) == ()
    assert not sightings.incomplete


def test_what_is_missing_is_gone_after_the_hold_time() -> None:
    """However few answers there were meanwhile."""
    sightings = Sightings(hold=10)
    sightings.take(seen(A), (), 0)
    assert sightings.take({}, (), 100) == (A,)
    assert sightings.take({}, (), 111) == ()


def test_without_an_answer_nothing_is_missing() -> None:
    """A question that is not answered says nothing about what it was answered with before."""
    sightings = Sightings(hold=10)
    sightings.take(seen(A, question="1") | seen(B, question="2"), (), 0)
    for second in range(1, 100):
        sightings.take({}, {"1"}, second)
    assert sightings.take({}, {"1"}, 100) == (A,)


def test_what_is_said_last_of_an_instance_counts() -> None:
    """Another weight is used, without the instance being another one."""
    heavy = Member(A.address, weight=7)
    sightings = Sightings(hold=10)
    sightings.take(seen(A, B), (), 0)
    assert sightings.take(seen(heavy, B), (), 1) == (heavy, B)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.monitor.slices import OTHER, Pending, Subjects, Written, collected, sealed, written
from gateway.monitor.tallies import KINDS, Subject, Tally, pack, requests_of
from tests.monitor.stepping import finish

ROOM = 1_000_000

pendings = st.dictionaries(
    st.integers(1, 500),
    st.builds(
        lambda requests, found: pack(requests, requests // 3, found),
        st.integers(1, 100_000),
        st.dictionaries(st.integers(-600, 600), st.integers(1, 1000), max_size=5),
    ),
    max_size=20,
)


def tally(packed: bytes | None) -> Tally:
    found = Tally()
    if packed is not None:
        found.add(packed)
    return found


def requests(pieces: Pending) -> int:
    return sum(requests_of(packed)[0] for packed in pieces.values())


@given(pendings)
def test_a_slice_has_what_was_put_into_it(pending: Pending) -> None:
    """Each subject is found with its tally, and none that was not there."""
    piece = finish(sealed(0, 10.0, dict(pending), ROOM, lambda number: 0))
    assert dict(piece) == pending
    assert all(piece.find(number) == packed for number, packed in pending.items())
    assert piece.find(501) is None
    assert piece.left_out == 0


@given(st.lists(pendings, max_size=5))
def test_slices_add_up(pendings: list[Pending]) -> None:
    """Of several slices, every subject has the sum of its tallies."""
    pieces = [finish(sealed(at * 10, 10.0, dict(each), ROOM, lambda number: 0)) for at, each in enumerate(pendings)]
    together = finish(collected(pieces))
    for number in set().union(*pendings) if pendings else ():
        expected = Tally()
        for each in pendings:
            if number in each:
                expected.add(each[number])
        assert tally(together[number]).buckets == expected.buckets
        assert tally(together[number]).requests == expected.requests


@given(pendings, st.integers(0, 4000))
def test_a_slice_is_bounded_and_loses_no_request(pending: Pending, room: int) -> None:
    """Whatever comes, a slice takes no more than its room; the busiest keep their durations, and all are counted."""
    piece = finish(sealed(0, 10.0, dict(pending), room, lambda number: 1000))
    assert piece.size <= room + 40  # for those that are counted together
    kept = dict(piece)
    assert requests(kept) == requests(pending)
    if piece.left_out:
        named = [number for number in kept if number != 1000]
        gone = [number for number in pending if number not in kept]
        for number in named:
            busy = requests_of(pending[number])[0].bit_length()
            assert all(busy >= requests_of(pending[other])[0].bit_length() for other in gone)


@given(pendings, st.text(max_size=20))
def test_a_slice_survives_being_written(pending: Pending, name: str) -> None:
    """What is read of a written slice is what was in it, by subject, whatever the names are."""

    def subject(number: int) -> Subject:
        return Subject(KINDS[number % 5], f"{name}-{number}")

    piece = finish(sealed(1_700_000_000, 9.5, dict(pending), ROOM, lambda number: 0))
    again = Written(finish(written(piece, subject)))
    assert (again.start, again.seconds) == (1_700_000_000, 9.5)
    names = {number: subject(number).name.encode("utf-8", "replace").decode() for number in pending}
    assert dict(again.read()) == {Subject(KINDS[n % 5], names[n]): packed for n, packed in pending.items()}


@given(st.binary(max_size=200))
def test_what_is_no_slice_is_refused(data: bytes) -> None:
    """Bytes of another program are refused, and never taken for numbers of subjects."""
    with pytest.raises(ValueError, match=r"slice|tally"):
        dict(Written(data).read())


def test_a_slice_that_is_cut_off_is_refused() -> None:
    """Of a slice that a crash has cut, nothing is taken as if it were whole."""
    piece = finish(sealed(0, 10.0, {1: pack(5, 0, {3: 5}), 2: pack(7, 0, {3: 7})}, ROOM, lambda number: 0))
    data = finish(written(piece, lambda number: Subject("route", f"route-{number}")))
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"slice|tally"):
            list(Written(data[:length]).read())


def test_subjects_are_bounded() -> None:
    """Beyond so many bytes of names, new subjects count as the other ones of their kind, and forgotten ones make
    room."""
    subjects = Subjects(100_000)
    numbers = [subjects.number("tenant", f"tenant-{number}") for number in range(1000)]
    assert subjects.overflow > 0
    assert numbers[-1] == subjects.number("tenant", OTHER)
    assert subjects.subject(numbers[0]) == Subject("tenant", "tenant-0")
    finish(subjects.forget_all_but({numbers[3]}))
    assert [name for name, _ in subjects.of_kind("tenant")] == ["tenant-3"]
    assert subjects.number("tenant", "tenant-999") != numbers[-1]

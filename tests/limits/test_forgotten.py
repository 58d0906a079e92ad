"""What keys have used that are no longer kept each by itself."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.forgotten import Forgotten


@given(st.lists(st.tuples(st.text(max_size=3), st.integers(0, 2**53)), max_size=200))
def test_no_key_has_used_less_than_it_had(noted: list[tuple[str, int]]) -> None:
    """However few cells there are for however many keys; and more only where others have used more."""
    forgotten = Forgotten(cells=16)
    for key, used in noted:
        forgotten.note(key, used)
    most = max((used for _, used in noted), default=0)
    for key, used in noted:
        assert used <= forgotten.used(key) <= most


def test_hardly_any_newcomer_begins_with_what_others_have_used() -> None:
    """With a hundred thousand others that have used something."""
    forgotten = Forgotten()
    for number in range(100_000):
        forgotten.note(f"other {number}", 3)
    assert sum(forgotten.used(f"new {number}") > 0 for number in range(10_000)) < 10

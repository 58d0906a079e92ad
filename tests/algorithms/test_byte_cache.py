"""The memory that is bounded in bytes: what is kept, what goes, and that the measure is that of the memory itself."""

import json
import tracemalloc
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.byte_cache import ByteCache, size_of


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3000))))
def test_it_never_takes_more_than_its_limit(entries: list[tuple[int, int]]) -> None:
    """Whatever is put in, and however often under the same key; its own count is that of its entries."""
    cache: ByteCache[int, bytes] = ByteCache(16_000)
    for key, size in entries:
        cache.put(key, bytes(size))
        assert cache.size <= 16_000
    for key in range(21):
        cache.discard(key)
    assert (cache.size, len(cache)) == (0, 0)


def test_what_was_used_last_is_kept() -> None:
    """Many values that come once push each other out, and not the one that is asked for all the time."""
    cache: ByteCache[int, bytes] = ByteCache(16_000)
    cache.put(-1, b"in use")
    for number in range(100):
        cache.put(number, bytes(400))
        assert cache.get(-1) == b"in use"
    assert cache.get(0) is None
    assert cache.get(99) is not None


def test_one_value_does_not_push_out_all_others() -> None:
    """A value that is large against the whole is not kept, and what was there before under its key is gone."""
    cache: ByteCache[int, bytes] = ByteCache(16_000)
    cache.put(1, b"small")
    cache.put(2, b"small")
    cache.put(2, bytes(8000))
    assert cache.get(1) == b"small"
    assert cache.get(2) is None


@dataclass(frozen=True, slots=True)
class Pair:
    """A value with parts."""

    name: str
    parts: tuple[object, ...]


def test_the_measure_is_what_python_takes() -> None:
    """Small objects in great number, which cost twenty times what they are in JSON, are counted as what they cost."""
    text = json.dumps({f"c{number}": [[], {}, [number]] for number in range(300)})
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        value = Pair("claims", (json.loads(text), frozenset({"a" * 100})))
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.7 * taken < size_of(value, 10_000_000) < 1.5 * taken
    assert size_of(value, 1000) < 0.2 * taken

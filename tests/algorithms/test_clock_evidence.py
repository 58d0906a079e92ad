from gateway.algorithms.clock_evidence import Difference, difference


def test_one_that_differs_from_all_others_is_wrong_itself() -> None:
    """One backend whose clock is off says nothing of ours while most others see it right."""
    assert difference({"a": 3600.0, "b": 0.4, "c": 1.0}) is None


def test_what_half_of_them_say_is_believed() -> None:
    """Where half of those that are asked see our clock off to one side, it is so, by what most of them say."""
    found = difference({"a": -600.0, "b": -602.0, "c": 0.0, "d": 3000.0})
    assert found == Difference(-601.0, ("a", "b"), 4)


def test_some_seconds_are_nothing() -> None:
    """An answer that took some seconds, or no server to ask, is no evidence."""
    assert difference({"a": 29.0}) is None
    assert difference({}) is None

"""How many tokens requests will take: learned from what providers report."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.llm.estimate import MOST_TOKENS, OUTPUT_FLOOR, OUTPUT_LIMIT, START_RATIO, Estimator


def test_what_is_not_known_yet_is_estimated_by_size() -> None:
    """0.27 tokens for each byte, rounded up."""
    assert Estimator().input_tokens(1000, "m", "r") == 270
    assert Estimator().input_tokens(1, "m", "r") == 1
    assert Estimator().input_tokens(0, "m", "r") == 0


def test_the_ratio_of_a_model_is_learned_on_its_route() -> None:
    """A model with another tokenizer is known after a few requests, and changes nothing for others."""
    estimator = Estimator()
    for _ in range(20):
        estimator.learn(1000, "m", "r", input_tokens=400, output_tokens=1)
    assert estimator.input_tokens(1000, "m", "r") == 400
    assert estimator.input_tokens(1000, "m", "other") == estimator.input_tokens(1000, "other", "r") == 270


def test_short_requests_say_nothing_about_long_ones() -> None:
    """A greeting is mostly JSON; what was learned of many of them does not make a long prompt look short."""
    estimator = Estimator()
    for _ in range(1000):
        estimator.learn(70, "m", "r", input_tokens=3, output_tokens=1)
    assert estimator.input_tokens(70, "m", "r") <= 4
    assert estimator.input_tokens(125_000, "m", "r") == 125_000 * 27 // 100
    estimator.learn(20_000, "m", "r", input_tokens=8000, output_tokens=1)
    assert estimator.input_tokens(125_000, "m", "r") == 50_000


REPORTS = st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**7), st.integers(0, 10**7)), max_size=50)


@given(REPORTS, st.integers(1, 10**6))
def test_what_one_caller_is_reported_changes_nothing_for_others(reports: list[tuple[int, int, int]], size: int) -> None:
    """A caller chooses what it sends, and so what is learned of it: neither inputs nor answers nor cut ones of anyone
    else are estimated by that."""
    alone, beside = Estimator(), Estimator()
    for estimator in (alone, beside):
        for caller in ("b", "c", "d"):
            estimator.learn(4000, "m", "r", caller, input_tokens=900, output_tokens=400)
            estimator.learn_text(1600, "m", "r", caller, output_tokens=400)
    for given_, taken, written in reports:
        beside.learn(given_, "m", "r", "a", input_tokens=taken, output_tokens=written)
        beside.learn_text(given_, "m", "r", "a", output_tokens=written)
    for caller in ("b", "new"):
        assert beside.input_tokens(size, "m", "r", caller) == alone.input_tokens(size, "m", "r", caller)
        assert beside.text_tokens(size, "m", "r", caller) == alone.text_tokens(size, "m", "r", caller)
        reserves = [each.output_reserve("m", "r", None, "learned", caller) for each in (alone, beside)]
        assert reserves == [400, 400]


def test_what_is_not_known_of_a_caller_is_reserved_as_for_the_middle_one() -> None:
    """Until there are enough answers of its own, a caller's answers are taken to be as long as those of others are."""
    estimator = Estimator()
    for number in range(5):
        estimator.learn(1000, "m", "r", f"{number}", input_tokens=270, output_tokens=1000 * (number + 1))
    assert estimator.output_reserve("m", "r", None, "learned", "new") == 3000
    for _ in range(127):
        estimator.learn(1000, "m", "r", "new", input_tokens=270, output_tokens=10)
    assert estimator.output_reserve("m", "r", None, "learned", "new") >= 1000
    estimator.learn(1000, "m", "r", "new", input_tokens=270, output_tokens=10)
    assert estimator.output_reserve("m", "r", None, "learned", "new") == OUTPUT_FLOOR


def test_long_requests_are_text() -> None:
    """Neither what is not read in them, such as white space, nor what is added to them by a server makes the next one
    short, or endless."""
    for tokens, estimated in ((1, 10_000), (10**6, 50_000)):
        estimator = Estimator()
        estimator.learn(100_000, "m", "r", input_tokens=tokens, output_tokens=None)
        assert estimator.input_tokens(100_000, "m", "r") == estimated
    for size in (100, 5000):
        estimator.learn(size, "m", "r", input_tokens=size * 2, output_tokens=None)
    assert estimator.input_tokens(20_000, "m", "r") <= 10_000


def test_the_error_is_shown() -> None:
    """It is large while a model is new, and falls as the ratio is learned."""
    estimator = Estimator()
    estimator.learn(1000, "m", "r", input_tokens=540, output_tokens=None)
    first = estimator.known()["m", "r"]
    assert (first.error, first.reports) == (0.5, 1)
    for _ in range(60):
        estimator.learn(1000, "m", "r", input_tokens=540, output_tokens=None)
    assert estimator.known()["m", "r"].error < 0.01
    estimator.learn(1000, "m", "r", "another", input_tokens=270, output_tokens=7)
    shown = estimator.known()["m", "r"]
    assert (shown.reports, 0.53 < shown.ratio < 0.54) == (62, True)


def test_outputs_are_reserved_as_95_of_100_had_them() -> None:
    """Never less than the floor, and never more than the request allows."""
    estimator = Estimator()
    assert estimator.output_reserve("m", "r", None, "learned") == OUTPUT_FLOOR
    for length in range(1, 101):
        estimator.learn(1, "m", "r", input_tokens=1, output_tokens=length * 10)
    assert estimator.output_reserve("m", "r", None, "learned") == 950
    assert estimator.output_reserve("m", "r", 64_000, "learned") == 950
    assert estimator.output_reserve("m", "r", 100, "learned") == 100
    assert estimator.output_reserve("m", "r", 0, "learned") == 0


def test_what_was_long_ago_is_forgotten() -> None:
    """The reserve follows what the last answers were."""
    estimator = Estimator()
    for length in [30_000] * 100 + [500] * 200:
        estimator.learn(1, "m", "r", input_tokens=1, output_tokens=length)
    assert estimator.output_reserve("m", "r", None, "learned") == 500


def test_texts_have_a_ratio_of_their_own() -> None:
    """What was delivered of a cut answer is counted as whole answers were, and not as requests were."""
    estimator = Estimator()
    assert estimator.text_tokens(100, "m", "r") == 27
    for _ in range(30):
        estimator.learn(1000, "m", "r", input_tokens=900, output_tokens=100)
        estimator.learn_text(400, "m", "r", output_tokens=100)
    assert estimator.text_tokens(4000, "m", "r") == pytest.approx(1000, rel=0.02)


def test_hidden_reasoning_is_no_text() -> None:
    """Whether a provider shows it or not."""
    for shown in (True, False):
        estimator = Estimator()
        for _ in range(30):
            estimator.learn(1000, "m", "r", input_tokens=270, output_tokens=1000)
            estimator.learn_text(4000 if shown else 400, "m", "r", output_tokens=1000, reasoning=900)
        assert estimator.text_tokens(4000, "m", "r") == pytest.approx(1000, rel=0.02)


def test_short_answers_hardly_count() -> None:
    """The end of an answer is a token, too, and no text."""
    estimator = Estimator()
    for _ in range(5):
        estimator.learn(1000, "m", "r", input_tokens=270, output_tokens=4)
        estimator.learn_text(2, "m", "r", output_tokens=4)
    assert estimator.text_tokens(1000, "m", "r") < 300


def test_strict_reserves_are_what_is_asked_for() -> None:
    """All that the request allows, or else a limit that it will be given."""
    estimator = Estimator()
    assert estimator.output_reserve("m", "r", 64_000, "requested") == 64_000
    assert estimator.output_reserve("m", "r", None, "requested") == OUTPUT_LIMIT
    assert estimator.output_reserve("m", "r", 10**30, "requested") == MOST_TOKENS


def test_what_is_remembered_is_bounded() -> None:
    """Of many models and routes, those that were used last are known."""
    estimator = Estimator(most=10)
    for number in range(50):
        estimator.learn(100, f"m{number}", "r", input_tokens=50, output_tokens=5)
        estimator.learn(100, "m0", "r", input_tokens=50, output_tokens=5)
    assert len(estimator.known()) == 10
    assert {model for model, _ in estimator.known()} == {"m0", *(f"m{number}" for number in range(41, 50))}


@pytest.mark.parametrize("tokens", [0, -1, 2**70])
def test_absurd_reports_do_no_harm(tokens: int) -> None:
    """A count that cannot be neither fails nor makes the next estimate absurd."""
    estimator = Estimator()
    estimator.learn(0, "m", "r", input_tokens=5, output_tokens=5)
    estimator.learn(1000, "m", "r", input_tokens=tokens, output_tokens=tokens)
    assert 0 <= estimator.input_tokens(1000, "m", "r") <= 2000
    assert 0 <= estimator.output_reserve("m", "r", None, "learned") <= OUTPUT_LIMIT


@given(st.lists(st.tuples(st.integers(-(10**20), 10**20), st.integers(-(10**20), 10**20)), max_size=50))
def test_estimates_stay_within_bounds(reports: list[tuple[int, int]]) -> None:
    """Whatever providers report."""
    estimator = Estimator()
    for size, tokens in reports:
        estimator.learn(size, "m", "r", input_tokens=tokens, output_tokens=tokens)
        estimator.learn_text(size, "m", "r", output_tokens=tokens, reasoning=size)
        assert 0 <= estimator.text_tokens(1000, "m", "r") <= 2000
    assert 0 <= estimator.input_tokens(1000, "m", "r") <= 2000
    assert estimator.output_reserve("m", "r", None, "learned") <= OUTPUT_LIMIT
    assert all(estimate.error >= 0 for estimate in estimator.known().values())
    assert START_RATIO > 0

"""What all balancers have in common that draw two endpoints at random."""

from __future__ import annotations

import random

import pytest

from gateway.balancing.least_request import LeastRequest
from gateway.balancing.peak_ewma import LeastCost
from gateway.balancing.two_choices import TwoChoices
from gateway.balancing.weighted_random import WeightedRandom
from tests.balancing.support import Picks

ALL = [LeastRequest, LeastCost, WeightedRandom]


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("weights", [[1, 1, 1], [1, 2], [1, 2, 3, 4], [1000, 1], [0.1, 1, 1]])
async def test_requests_that_take_no_time_are_shared_by_weight(kind: type[TwoChoices], weights: list[float]) -> None:
    """Each endpoint gets its weight's share of 20,000 requests, within one per cent of all."""
    picks = Picks(kind(random.Random(1).random), weights)
    assert picks.shares(20_000) == pytest.approx([weight / sum(weights) for weight in weights], abs=0.01)


@pytest.mark.parametrize("kind", ALL)
async def test_what_was_tried_is_not_picked_again(kind: type[TwoChoices]) -> None:
    """The rest share by weight; where all were tried there is none."""
    picks = Picks(kind(random.Random(1).random), [1, 2, 3])
    assert picks.shares(10_000, excluded=[2]) == pytest.approx([1 / 3, 2 / 3, 0], abs=0.02)
    assert picks(excluded=[0, 1]) == 2
    assert picks(excluded=[0, 1, 2]) is None


@pytest.mark.parametrize("kind", ALL)
async def test_what_was_tried_of_many(kind: type[TwoChoices]) -> None:
    """With hundreds of endpoints it is no different, whether few of them were tried or all but one."""
    picks = Picks(kind(random.Random(1).random), [1 + number % 2 for number in range(400)])
    shares = picks.shares(20_000, excluded=range(3))
    assert shares[:3] == [0, 0, 0]
    assert sum(shares[1::2]) == pytest.approx(398 / 596, abs=0.02)
    assert picks(excluded=[number for number in range(400) if number != 7]) == 7
    assert picks(excluded=range(400)) is None


@pytest.mark.parametrize("kind", ALL)
async def test_one_and_none(kind: type[TwoChoices]) -> None:
    """A single endpoint gets everything; where there is none, there is no answer."""
    picks = Picks(kind(random.Random(1).random), [1, 1])
    picks.offer([0, 1])
    assert picks() == 1
    picks.offer([0, 0])
    assert picks() is None

"""What requests cost."""

from __future__ import annotations

from datetime import UTC, date, datetime
from importlib.metadata import version
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.llm.prices import MOST_MICROS, SNAPSHOT, STALE_DAYS, Price, Prices, Rates, Seller, Tier, snapshot_date
from gateway.llm.usage import Usage

SELLERS = (
    Seller("openai", "openai", "https://api.openai.com/v1"),
    Seller("anthropic", "anthropic"),
    Seller("google", "gemini"),
    Seller("mine", "openai", "https://api.groq.com/openai/v1"),
    Seller("local", "openai", "http://127.0.0.1:8080/v1"),
)
counts = st.integers(0, 10**8)


def prices(**changes: Any) -> Prices:
    return Prices(SELLERS, clock=lambda: datetime(2026, 11, 26, tzinfo=UTC), **changes)


def test_prices_of_the_list_are_by_provider_and_model() -> None:
    """The three large ones, in whole micro-dollars."""
    assert prices().cost("openai", "gpt-4o", Usage(1_000_000, 100_000)) == 3_500_000
    assert prices().cost("anthropic", "claude-haiku-4-5", Usage(1000, 100)) == 1500
    assert prices().cost("google", "gemini-2.5-pro", Usage(1000, 100)) == 2250
    assert prices().cost("openai", "gpt-4o", Usage(1, 0)) == 3  # 2.5, rounded up


def test_dated_names_are_the_same_models() -> None:
    """As providers answer with them."""
    assert prices().cost("openai", "gpt-4o-2024-08-06", Usage(1_000_000, 0)) == 2_500_000


def test_the_address_identifies_the_seller() -> None:
    """A provider of another name has the prices of where it is; one on loopback those of whom its protocol is."""
    groq = prices().price("mine", "llama-3.3-70b-versatile")
    assert groq is not None
    assert prices().price("local", "llama-3.3-70b-versatile") is None
    assert prices().price("local", "gpt-4o") == prices().price("openai", "gpt-4o")


def test_cached_and_reasoning_tokens_are_counted_once() -> None:
    """They are part of input and output: 1000 of input, of which 800 were cached, are not 1800."""
    found = prices().price("anthropic", "claude-haiku-4-5")
    assert found is not None
    assert found.micros(Usage(1000, 100, cache_read=800, cache_write=100, reasoning=60)) == 100 + 80 + 125 + 500
    assert found.micros(Usage(1000, 0, cache_read=5000, cache_write=5000)) == 100  # never more than there was


def test_caches_of_an_hour_cost_more() -> None:
    """Anthropic says of what was written how much is kept for an hour, at twice the price of input."""
    usage = Usage(1000, 0, cache_write=1000, cache_write_long=400)
    assert prices().cost("anthropic", "claude-haiku-4-5", usage) == 600 * 5 // 4 + 400 * 2
    assert prices().dearest("anthropic", "claude-haiku-4-5", 1000, 0) == 2000


def test_fast_answers_cost_more() -> None:
    """Anthropic's `speed: fast`, which is no service tier."""
    assert prices().cost("anthropic", "claude-fable-5-2", Usage(10**6, 0), tier=Tier(speed="fast")) == 16_000_000
    assert prices().cost("openai", "gpt-5", Usage(10**6, 0), tier=Tier(speed="flex")) == 1_250_000
    assert prices().cost("anthropic", "claude-fable-5-2", Usage(10**6, 0)) == 8_000_000


def test_long_inputs_have_another_price() -> None:
    """All of a request at the tier that its input reaches; the reservation is at the dearest that it may reach."""
    assert prices().cost("google", "gemini-2.5-pro", Usage(200_000, 0)) == 250_000
    assert prices().cost("google", "gemini-2.5-pro", Usage(200_001, 0)) == 500_003
    assert prices().dearest("google", "gemini-2.5-pro", 200_000, 1000) == 260_000
    assert prices().dearest("google", "gemini-2.5-pro", 300_000, 1000) == 765_000


def test_a_reservation_is_at_the_dearest_tier() -> None:
    """Also where a tier is cheaper, and where all might be written to a cache."""
    falling = Price(((0, Rates(2 * 10**9, 0, 0, 0, 0)), (100, Rates(10**9, 0, 0, 0, 0))))
    assert falling.dearest(200, 0) == 400
    assert falling.micros(Usage(200, 0)) == 200
    assert prices().dearest("openai", "gpt-4o", 1000, 0) == 2500


def test_service_tiers_change_the_price() -> None:
    """Priority costs more, flex less; what is reserved is never less than the standard price."""
    model = "gpt-5"
    standard, priority, flex = (
        prices().cost("openai", model, Usage(10**6, 0), tier=Tier(tier)) or 0
        for tier in ("default", "priority", "flex")
    )
    assert flex < standard < priority
    assert prices().dearest("openai", model, 10**6, 0, tier=Tier("priority")) == priority
    assert prices().dearest("openai", model, 10**6, 0, tier=Tier("flex")) == standard
    assert prices().cost("openai", model, Usage(10**6, 0), tier=Tier("no such tier")) == standard


def test_the_answered_model_is_billed_or_else_the_one_asked_for() -> None:
    """A provider may answer with another model than was asked for, or with an unknown name."""
    assert prices().cost("openai", "gpt-4o-mini", Usage(10**6, 0), asked="gpt-4o") == 150_000
    assert prices().cost("openai", "ft:secret:x", Usage(10**6, 0), asked="gpt-4o") == 2_500_000
    assert prices().cost("openai", "", Usage(10**6, 0), asked="gpt-4o") == 2_500_000


def test_an_unknown_price_is_no_price() -> None:
    """Not zero, or a budget in money would never bite; it is counted."""
    made = prices()
    assert made.cost("local", "small", Usage(1000, 1000)) is None
    assert made.dearest("nobody", "gpt-4o", 1, 1) is None
    assert made.cost("openai", "x" * 100_000, Usage(1, 0)) is None
    assert made.unpriced == 2


def test_names_of_clients_do_not_fill_the_memory() -> None:
    """What is remembered of models is bounded."""
    made = prices(own=[("*", Price(((0, Rates(1, 1, 1, 1, 1)),)))])
    for number in range(5000):
        made.cost("openai", f"gpt-{number}", Usage(1, 0))
    assert len(made._prices) <= 2000


@given(counts, counts, counts, counts, counts)
def test_a_reservation_covers_what_is_reported(given_: int, out: int, read: int, written: int, reasoning: int) -> None:
    """With the counts that were estimated, no usage costs more than what was reserved at the dearest."""
    usage = Usage(given_, out, cache_read=read, cache_write=written, reasoning=reasoning)
    for model in ("gpt-4o", "o3"):
        cost, reserved = _prices.cost("openai", model, usage), _prices.dearest("openai", model, given_, out)
        assert cost is not None
        assert reserved is not None
        assert 0 <= cost <= reserved <= MOST_MICROS


_prices = prices()


@pytest.mark.parametrize("huge", [2**64, 10**40])
def test_absurd_counts_cost_a_bounded_amount(huge: int) -> None:
    """A provider that reports nonsense does not overflow a counter."""
    assert (prices().cost("openai", "gpt-4o", Usage(huge, huge)) or 0) <= MOST_MICROS
    assert prices().cost("openai", "gpt-4o", Usage(-huge, -huge)) == 0


def test_a_snapshot_that_is_old_is_warned_of() -> None:
    """After 60 days its prices may be wrong; it never updates itself."""
    of = datetime.combine(SNAPSHOT[1], datetime.min.time(), UTC)
    assert not prices().warnings()
    old = Prices(clock=lambda: datetime.fromtimestamp(of.timestamp() + (STALE_DAYS + 1) * 86400, UTC))
    assert "is 61 days old; upgrade genai-prices" in old.warnings()[0]


def test_the_date_of_the_snapshot_is_that_of_the_installed_version() -> None:
    """Who upgrades genai-prices looks at the date of its prices, and writes it down."""
    assert version("genai-prices") == SNAPSHOT[0]
    assert snapshot_date(date(2030, 1, 1)) == SNAPSHOT[1]

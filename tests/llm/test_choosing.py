"""Which providers may answer, in which order, and why not the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.globs import Glob
from gateway.http import Exchange, Identity
from gateway.http.testing import make_exchange
from gateway.llm.choosing import (
    Allowed,
    Ask,
    Choice,
    NotAllowed,
    Offer,
    Profile,
    Rule,
    Table,
    TooLong,
    When,
    choose,
    offered,
    ranked,
)

OPENAI = Offer("openai", "openai", ("gpt-*",))
LOCAL = Offer("local", "openai", ("small", "gpt-mini"))
CLAUDE = Offer("anthropic", "anthropic", ("claude-*",))
FAST, HEAVY = Profile("fast", ((("openai", 1),),)), Profile("heavy", ((("local", 1),),))


def table(*profiles: Profile, rules: tuple[Rule, ...] = (), **others: Mapping[str, Mapping[str, str]]) -> Table:
    """These profiles, the first of which is the default, with all providers."""
    offers = {offer.name: offer for offer in (OPENAI, LOCAL, CLAUDE)}
    return Table(offers, {each.name: each for each in profiles}, profiles[0].name, rules, **others)


def ask(model: str, **others: Any) -> Ask:
    """A chat request for a model."""
    return Ask("openai.chat", "openai", model)._replace(**others)


def caller(tenant: str | None = None, *groups: str) -> Exchange:
    """A request of an authenticated caller."""
    exchange = make_exchange("POST", "/v1/chat/completions")
    exchange.identity = Identity("alice", "keys", tenant, frozenset(groups))
    return exchange


def chosen(made: Table, wanted: Ask, exchange: Exchange | None = None) -> Choice:
    """What is chosen, with a draw that does not matter."""
    return choose(made, wanted, exchange or make_exchange(), 0.5, {})


def backends(choice: Choice) -> list[str]:
    """The labels of its candidates."""
    return [candidate.backend for candidate in choice.candidates]


def test_the_preferred_provider_comes_first_and_the_others_that_offer_the_model_behind_it() -> None:
    """A preference is no restriction, and a model that only a pattern covers is labelled with the pattern."""
    assert backends(chosen(table(FAST), ask("gpt-mini"))) == ["openai/gpt-*", "local/gpt-mini"]
    assert backends(chosen(table(HEAVY), ask("gpt-mini"))) == ["local/gpt-mini", "openai/gpt-*"]


def test_a_model_that_no_preferred_provider_offers_goes_to_the_next_that_does() -> None:
    """Never to another model."""
    choice = chosen(table(FAST), ask("small"))
    assert backends(choice) == ["local/small"]
    assert ("openai", "model") in choice.left_out


def test_a_profile_of_these_providers_only_has_no_others() -> None:
    """The error says why there is no candidate."""
    choice = chosen(table(replace(FAST, only=True)), ask("small"))
    assert (choice.candidates, choice.left_out) == ((), (("openai", "model"),))


def test_an_alias_has_a_name_at_each_provider() -> None:
    """A provider that the alias does not name is left out, and one of the profile goes before one of the file."""
    made = table(FAST, aliases={"chat": {"openai": "gpt-9", "anthropic": "claude-9", "local": "small"}})
    choice = chosen(made, ask("chat"))
    assert [(each.model, each.backend) for each in choice.candidates] == [
        ("gpt-9", "openai/gpt-9"),
        ("small", "local/small"),
    ]
    assert ("anthropic", "protocol") in choice.left_out
    own = replace(FAST, aliases={"chat": {"local": "small"}})
    assert backends(chosen(replace(made, profiles={"fast": own}), ask("chat"))) == ["local/small"]


def test_a_provider_of_another_protocol_answers_only_what_is_translated_for_it() -> None:
    """Its candidate says that it is."""
    made = table(FAST)
    assert chosen(made, ask("claude-9")).candidates == ()
    translating = replace(made, offers={"anthropic": replace(CLAUDE, translates=frozenset({"openai.chat"}))})
    translating = replace(translating, profiles={"fast": Profile("fast")})
    assert [each.translated for each in chosen(translating, ask("claude-9")).candidates] == [True]


def test_the_first_rule_that_holds_chooses_the_profile() -> None:
    """By its number, from 0."""
    rules = (
        Rule(When(models=(Glob("claude-*"),)), "fast"),
        Rule(When(above=1000, tools=True), "heavy"),
        Rule(When(tests=(lambda exchange: exchange.fields.get(b"x-route-profile") == b"heavy",)), "heavy"),
    )
    made = table(FAST, HEAVY, rules=rules)
    assert chosen(made, ask("gpt-mini")).rule is None
    assert chosen(made, ask("gpt-mini", input_tokens=1001)).rule is None
    assert chosen(made, ask("gpt-mini", input_tokens=1001, tools=2)).rule == 1
    choice = chosen(made, ask("gpt-mini"), make_exchange(headers=[("X-Route-Profile", "heavy")]))
    assert (choice.rule, choice.profile.name) == (2, "heavy")


def test_a_header_does_not_buy_a_profile_that_the_caller_may_not_have() -> None:
    """The next rule that fits counts; where the default is not allowed either, the request is refused."""
    dear = replace(HEAVY, allowed=Allowed(tenants=frozenset({"rich"}), groups=frozenset({"staff"})))
    made = table(FAST, dear, rules=(Rule(When(), "heavy"),))
    assert chosen(made, ask("gpt-mini")).profile.name == "fast"
    assert chosen(made, ask("gpt-mini"), caller("poor")).profile.name == "fast"
    assert chosen(made, ask("gpt-mini"), caller("rich")).profile.name == "heavy"
    assert chosen(made, ask("gpt-mini"), caller(None, "staff")).profile.name == "heavy"
    with pytest.raises(NotAllowed):
        chosen(table(dear), ask("gpt-mini"), caller("poor"))


def test_what_is_too_long_gets_the_overflow_profile() -> None:
    """With the output that is asked for; without such a profile, or where all are too small, it is refused."""
    small = replace(FAST, most_tokens=1000, overflow="heavy")
    made = table(small, HEAVY)
    assert chosen(made, ask("gpt-mini", input_tokens=900, output_tokens=100)).profile.name == "fast"
    choice = chosen(made, ask("gpt-mini", input_tokens=900, output_tokens=101))
    assert (choice.profile.name, choice.overflowed) == ("heavy", ("fast",))
    with pytest.raises(TooLong):
        chosen(table(small, replace(HEAVY, most_tokens=1000, overflow="fast")), ask("gpt-mini", input_tokens=1001))


def test_callers_see_the_models_that_they_may_name() -> None:
    """Aliases and names, not patterns, and none that only a profile of others leads to."""
    secret = Profile("secret", ((("local", 1),),), only=True, allowed=Allowed(groups=frozenset({"staff"})))
    public = Profile("public", ((("openai", 1),),), only=True)
    made = table(public, secret, aliases={"chat": {"openai": "gpt-9"}, "tiny": {"local": "small"}})
    assert offered(made, caller()) == ("chat",)
    assert set(offered(made, caller(None, "staff"))) == {"chat", "tiny", "small", "gpt-mini"}


WEIGHTED = (("a", 1), ("b", 3), ("c", 0), ("d", 4))


def test_weights_are_shares() -> None:
    """Within five percent over many draws; a weight of 0 is last."""
    orders = [ranked(WEIGHTED, b"", draw / 4000, {}) for draw in range(4000)]
    first = Counter(order[0] for order in orders)
    assert first["b"] / 4000 == pytest.approx(3 / 8, abs=0.05)
    assert first["d"] / 4000 == pytest.approx(4 / 8, abs=0.05)
    assert all(order[-1] == "c" for order in orders)


@given(st.binary(min_size=1, max_size=40), st.sampled_from("abd"))
def test_a_key_stays_where_it_is_when_another_provider_goes(key: bytes, gone: str) -> None:
    """Only the keys of what goes move."""
    before = ranked(WEIGHTED, key, 0.0, {})
    after = ranked([pair for pair in WEIGHTED if pair[0] != gone], key, 0.0, {})
    assert after == [name for name in before if name != gone]


def test_a_provider_with_more_than_its_share_is_not_first_for_a_key() -> None:
    """The next in the order of the key is."""
    pair = (("a", 1), ("b", 1))
    first, second = ranked(pair, b"key", 0.0, {})
    assert ranked(pair, b"key", 0.0, {first: 20, second: 3}) == [second, first]
    assert ranked(pair, b"key", 0.0, {first: 2, second: 3}) == [first, second]

"""Whom to believe, rule by rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from gateway.agents.frames import PAYLOAD_MOST
from gateway.agents.incoming import Refusals
from gateway.agents.link import Refused, Unusable
from gateway.agents.trust import (
    Accepted,
    Message,
    Named,
    Refusal,
    Rules,
    Sender,
    Trust,
    fingerprint,
    judged,
    key_of,
    key_text,
    named_of,
    trust_of,
)

KEY = bytes(range(32))
OTHER = bytes(32)


def contents(topic: str, payload: bytes) -> Sequence[str] | Unusable:
    unusable = {b"bad": Unusable("schema", "no JSON"), b"far": Unusable("network", "8.8.8.8")}
    return unusable.get(payload, [payload.decode()])


RULES = Rules({"service-registry": "acme-discovery"}, {"acme-discovery": KEY}, contents)
SENDER = Sender(2, Trust(2, True, KEY), Named("acme-discovery", 2, KEY))
MESSAGE = Message("service-registry", b"{}")


def test_a_message_that_fulfils_all_counts() -> None:
    """With what it says; also where the record of trust has no key."""
    accepted = Accepted("acme-discovery", KEY, ["{}"])
    assert judged(MESSAGE, SENDER, RULES) == accepted
    assert judged(MESSAGE, replace(SENDER, trust=Trust(2, True, b"")), RULES) == accepted


@pytest.mark.parametrize(
    ("message", "sender", "reason"),
    [
        (MESSAGE, replace(SENDER, trust=None), "trust"),
        (MESSAGE, replace(SENDER, trust=Trust(2, False, b"")), "trust"),
        (replace(MESSAGE, topic="access-log"), SENDER, "role"),
        (MESSAGE, replace(SENDER, named=None), "role"),
        (MESSAGE, replace(SENDER, named=Named("acme-evil", 2, KEY)), "role"),
        (MESSAGE, replace(SENDER, node=3, trust=Trust(3, True, b"")), "role"),
        (MESSAGE, replace(SENDER, named=Named("acme-discovery", 2, OTHER), trust=Trust(2, True, OTHER)), "key"),
        (MESSAGE, replace(SENDER, trust=Trust(2, True, OTHER)), "key"),
        (MESSAGE, replace(SENDER, named=Named("acme-discovery", 2, b"")), "key"),
        (replace(MESSAGE, signed=Refusal("replay", "again")), SENDER, "replay"),
        (replace(MESSAGE, signed=Refusal("signature", "forged")), SENDER, "signature"),
        (replace(MESSAGE, payload=None), SENDER, "size"),
        (replace(MESSAGE, payload=b"x" * (PAYLOAD_MOST + 1)), SENDER, "size"),
        (replace(MESSAGE, payload=b"bad"), SENDER, "schema"),
        (replace(MESSAGE, payload=b"far"), SENDER, "network"),
    ],
)
def test_one_rule_that_does_not_hold_is_the_reason(message: Message, sender: Sender, reason: str) -> None:
    """Each refusal has the reason by which it is counted."""
    verdict = judged(message, sender, RULES)
    assert isinstance(verdict, Refusal)
    assert verdict.reason == reason


def test_a_name_without_a_pinned_key_is_not_believed() -> None:
    """The key is pinned at first contact; until then nothing counts."""
    verdict = judged(MESSAGE, SENDER, replace(RULES, pins={}))
    assert isinstance(verdict, Refusal)
    assert verdict.reason == "key"


def test_one_sided_trust_counts_only_where_the_configuration_says_so() -> None:
    """`mutual: false` accepts what an approval of one side has made."""
    sender = replace(SENDER, trust=Trust(2, False, b""))
    assert judged(MESSAGE, sender, replace(RULES, mutual=False)) == Accepted("acme-discovery", KEY, ["{}"])


def test_where_a_signature_is_demanded_a_message_without_counts_for_nothing() -> None:
    """`require_signature` holds for the stream too."""
    rules = replace(RULES, require_signature=True)
    assert isinstance(judged(MESSAGE, SENDER, rules), Refusal)
    assert isinstance(judged(replace(MESSAGE, signed="yes"), SENDER, rules), Accepted)


def test_keys_are_read_only_as_they_are_written() -> None:
    """What is no base64 of 32 bytes is no key."""
    assert key_of(key_text(KEY)) == KEY
    assert [key_of(text) for text in ("", "x", None, 7, key_text(KEY[:31]), key_text(KEY) + "\n")] == [b""] * 6
    assert fingerprint(KEY) == "0001:0203:0405:0607:0809:0a0b:0c0d:0e0f"


@pytest.mark.parametrize("node", [-1, 2**32, 2**80, True, None, "7", 7.0, [7]])
def test_what_is_no_number_of_a_node_names_none(node: object) -> None:
    """Daemon and rendezvous may say anything; a number that fits into no call must not be called."""
    record = {"node_id": node, "mutual": True, "public_key": key_text(KEY)}
    assert trust_of(record) is None
    assert named_of("acme-router", record) is None


def test_what_others_write_has_no_control_characters_in_logs() -> None:
    """A hostname that would move the cursor of a terminal, or end a line of a log."""
    told: list[Refused] = []
    Refusals(told.append, lambda _: "acme\x1b[2Jevil\n")("role", "t\x00" * 500, 7, "\r\ud800")
    assert told == [Refused("role", "t\ufffd" * 150, 7, "acme\ufffd[2Jevil\ufffd", "\ufffd\ufffd")]

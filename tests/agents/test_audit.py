"""Refused messages on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.agents import audit
from gateway.agents.audit import KEPT, SENDERS_MOST, RefusalLog
from gateway.agents.link import Refused


def _full(directory: Path) -> int:
    """How many files were put aside."""
    return sum(path.suffix[1:].isdecimal() for path in directory.iterdir())


async def test_topics_of_others_make_one_line(tmp_path: Path) -> None:
    """A node that is refused may call its messages anything; they are counted together."""
    log = RefusalLog(tmp_path / "refused-router.log")
    for number in range(1000):
        log.take(Refused("role", f"topic-{number}", 7, "acme-evil", "no role sends it here"))
    log.take(Refused("role", "service-registry", 7, "acme-evil", "it comes from acme-discovery"))
    await log.stop()
    lines = [json.loads(line) for line in (tmp_path / "refused-router.log").read_text().splitlines()]
    assert [each["count"] for each in lines if each.get("event") == "agent-refused"] == [1000, 1]
    assert log.lost == 0


async def test_a_refusal_is_logged_in_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The sender by its name, or by its node where it has none, the reason, and what was wrong."""
    for hostname in ("acme-auth", ""):
        log = RefusalLog(tmp_path / "refused-router.log")
        log.take(Refused("role", "service-registry", 2, hostname, "service-registry comes from acme-discovery"))
    assert caplog.messages == [
        f"a message of {sender} is refused (role): service-registry comes from acme-discovery"
        for sender in ("acme-auth", "node 2")
    ]


def test_the_first_refusal_of_each_reason_and_sender_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was refused a moment before; a repeat is counted by the next line."""
    monkeypatch.setattr(audit, "LOG_SECONDS", 3600)
    log = RefusalLog(tmp_path / "refused-router.log")
    for node, reason in ((2, "network"), (2, "network"), (2, "role"), (3, "role"), (2, "role"), (2, "trust")):
        log.take(Refused(reason, "service-registry", node, "", "so"))  # type: ignore[arg-type]
    assert caplog.messages == [
        "a message of node 2 is refused (network): so",
        "a message of node 2 is refused (role): so; 1 more since the last line",
        "a message of node 3 is refused (role): so",
        "a message of node 2 is refused (trust): so; 1 more since the last line",
    ]


def test_any_number_of_senders_logs_a_bounded_number_of_lines(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the first senders there is a line now and then, as for repeats."""
    monkeypatch.setattr(audit, "LOG_SECONDS", 3600)
    log = RefusalLog(tmp_path / "refused-router.log")
    for node in range(SENDERS_MOST * 3):
        log.take(Refused("role", "service-registry", node, "", "so"))
    assert len(caplog.messages) == SENDERS_MOST


async def test_details_that_differ_are_kept_beside_the_first(tmp_path: Path) -> None:
    """A clock that is ahead can be told from an old number: other numbers make no other detail, and the last stay."""
    log = RefusalLog(tmp_path / "refused-router.log")

    def refuse(detail: str) -> None:
        log.take(Refused("replay", "service-registry", 7, "acme-discovery", detail))

    refuse("seq 1 is old")
    refuse("epoch 99 is ahead")
    for number in range(100):
        refuse(f"seq {number} is old")
    await log.stop()
    log = RefusalLog(tmp_path / "refused-router.log")
    for word in "abcdefgh":
        refuse(f"it is {word}")
    await log.stop()
    lines = [json.loads(line) for line in (tmp_path / "refused-router.log").read_text().splitlines()]
    kept = [(each["detail"], each["others"]) for each in lines if each.get("event") == "agent-refused"]
    assert kept == [
        ("seq 1 is old", ["epoch 99 is ahead"]),
        ("it is a", [f"it is {word}" for word in "efgh"]),
    ]


async def test_who_is_refused_does_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of files that are full, the last ones are kept."""
    monkeypatch.setattr(audit, "MOST_BYTES", 100)
    for number in range(KEPT * 2):
        log = RefusalLog(tmp_path / "refused-router.log")
        log.take(Refused("trust", "service-registry", number, "", "it is not trusted"))
        await log.stop()
    assert _full(tmp_path) == KEPT

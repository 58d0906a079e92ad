"""Refused messages on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.agents import audit
from gateway.agents.audit import KEPT, RefusalLog
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


async def test_who_is_refused_does_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of files that are full, the last ones are kept."""
    monkeypatch.setattr(audit, "MOST_BYTES", 100)
    for number in range(KEPT * 2):
        log = RefusalLog(tmp_path / "refused-router.log")
        log.take(Refused("trust", "service-registry", number, "", "it is not trusted"))
        await log.stop()
    assert _full(tmp_path) == KEPT

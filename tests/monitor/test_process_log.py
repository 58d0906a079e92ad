"""The process's own log holds and says no more than people read, whatever is raised."""

from __future__ import annotations

import logging

import pytest

from gateway.config.secrets import KnownSecrets
from gateway.custom_code import MAX_TEXT as MAX_SAID
from gateway.custom_code import named
from gateway.monitor.process_log import MAX_TEXT, QUEUE_BYTES, Lines, process_log


def test_an_endless_text_is_cut(capfd: pytest.CaptureFixture[str]) -> None:
    """Its beginning and its end are there, and no part of a secret at the cut."""
    secrets = KnownSecrets()
    secrets.add("s3cr3t-that-is-known")
    with process_log(secrets):
        try:
            raise ValueError("begin" + "x" * (MAX_TEXT // 2 - 80) + "s3cr3t-that-is-known" * 1000 + "end")
        except ValueError:
            logging.getLogger("gateway").exception("it failed")
    said = capfd.readouterr().err
    assert MAX_TEXT < len(said) < MAX_TEXT + 200
    assert "it failed" in said
    assert "characters ..." in said
    assert said.rstrip().endswith("end")
    assert "s3cr" not in said


def test_what_waits_is_bounded_in_bytes() -> None:
    """A reader that is stuck costs a few MiB, however long the lines are."""
    lines = Lines(QUEUE_BYTES)
    record = logging.LogRecord("gateway", logging.ERROR, "", 0, "x" * MAX_TEXT, None, None)
    held = 0
    while not lines.full():
        lines.put_nowait(record)
        held += 1
    assert QUEUE_BYTES // (2 * MAX_TEXT) < held <= QUEUE_BYTES // MAX_TEXT
    for _ in range(held):
        lines.get_nowait()
    assert lines.empty()


def test_what_an_error_says_is_cut_before_it_is_shown() -> None:
    """Refusals and `check` say as much of it as people read; of an error that cannot say anything, its kind."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise SystemExit(1)

    assert len(named(ValueError("x" * 10_000_000))) < MAX_SAID + 100
    assert named(MuteError()) == "MuteError"

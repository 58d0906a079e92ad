from __future__ import annotations

import time

import pytest

from gateway.http.retry_after import seconds_to_wait

NOW = 1_700_000_000.0  # 2023-11-14 22:13:20


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"120", 120),
        (b"0", 0),
        (b"Tue, 14 Nov 2023 22:13:50 GMT", 30),
        (b"7.5", 7.5),
        (b"Tue Nov 14 22:13:50 2023", 30),
        (b"Tuesday, 14-Nov-23 22:13:50 GMT", 30),
        (b"Tue, 14 Nov 2023 22:13:00 GMT", 0),
        (b"-5", 0),
        (b"1e3", 0),
        (b"7.", 0),
        (b"nan", 0),
        (b"soon", 0),
        (b"Tue, 99 Nov 2023 22:13:50 GMT", 0),
        (b"9" * 100, 0),
        (b"\xff", 0),
        (b"", 0),
        (None, 0),
    ],
)
def test_seconds_and_dates_are_read(value: bytes | None, seconds: float) -> None:
    """Seconds, or the time until a date; what is over or cannot be read asks for nothing."""
    assert seconds_to_wait(value, NOW) == seconds


def test_a_date_without_a_zone_is_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the gateway is."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert seconds_to_wait(b"Tue Nov 14 22:13:50 2023", NOW) == 30
    finally:
        monkeypatch.undo()
        time.tzset()

from __future__ import annotations

import pytest

from gateway.http.retry_after import seconds_to_wait

NOW = 1_700_000_000.0  # 2023-11-14 22:13:20


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"120", 120),
        (b"0", 0),
        (b"Tue, 14 Nov 2023 22:13:50 GMT", 30),
        (b"Tuesday, 14-Nov-23 22:13:50 GMT", 30),
        (b"Tue, 14 Nov 2023 22:13:00 GMT", 0),
        (b"-5", 0),
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

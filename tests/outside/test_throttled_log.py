"""What fails again and again does not fill the log."""

from gateway.outside.throttled_log import ThrottledLog


def test_one_line_in_so_many_seconds_with_the_number_of_those_left_out() -> None:
    """The first failure is in the log at once; of those that follow, the number is in the next line."""
    lines: list[str] = []
    now = 100.0
    log = ThrottledLog(lambda message, *values: lines.append(message % values), 10, lambda: now)
    for now in (100.0, 103.0, 109.9, 110.0, 121.0):
        log.line("%s cannot be used: %s", "a file", f"{now:g}")
    assert lines == [
        "a file cannot be used: 100",
        "a file cannot be used: 110; 2 more since the last line",
        "a file cannot be used: 121",
    ]


def test_what_happens_once_is_always_in_the_log() -> None:
    """Also shortly after another line; and then it is quiet again for a while, and counts from nothing."""
    lines: list[str] = []
    now = 0.0
    log = ThrottledLog(lambda message, *values: lines.append(message % values), 10, lambda: now)
    log.line("failed")
    log.line("failed")
    log.always("it is down")
    now = 9.0
    log.line("failed")
    now = 11.0
    log.line("failed")
    assert lines == ["failed", "it is down", "failed; 1 more since the last line"]

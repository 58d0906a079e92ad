from gateway.auth.token_times import CROWD, WINDOW_SECONDS, TokenTimes


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_crowd_of_early_tokens_says_that_a_clock_is_wrong() -> None:
    """Tokens of right signatures that do not hold yet, more than hold, name issuer, seconds and what to look at."""
    times = TokenTimes()
    for _ in range(CROWD):
        assert [*times.troubles()] == []
        times.refused("https://login.example", "ann", -400.0)
    (trouble,) = times.troubles()
    assert "tokens of https://login.example do not hold yet, by up to 400 s" in trouble
    assert "timedatectl" in trouble


def test_a_few_early_tokens_among_right_ones_say_nothing() -> None:
    """Where most tokens hold, the clock does."""
    times = TokenTimes()
    for _ in range(CROWD):
        times.refused("i", "ann", -400.0)
        times.accepted()
    assert [*times.troubles()] == []


def test_all_tokens_had_expired() -> None:
    """Where tokens of many subjects had expired and none holds, the clock may be ahead; of one subject, it is hers."""
    times = TokenTimes()
    for _ in range(2 * CROWD):
        times.refused("i", "ann", 10.0)
    assert [*times.troubles()] == []
    for number in range(CROWD):
        times.refused("i", f"user-{number}", 10.0)
    (trouble,) = times.troubles()
    assert "all tokens of the last 5 minutes had expired" in trouble
    times.accepted()
    assert [*times.troubles()] == []


def test_it_is_forgotten() -> None:
    """A refusal of long ago is not reported any more."""
    clock = Clock()
    times = TokenTimes(clock)
    for _ in range(CROWD):
        times.refused("i", "ann", -400.0)
    clock.now += WINDOW_SECONDS + 1
    assert [*times.troubles()] == []

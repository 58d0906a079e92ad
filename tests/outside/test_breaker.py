"""What does not answer is left alone, and tried again."""

from gateway.outside.breaker import TRIES, Breaker, Requester


def test_a_breaker_tries_again_after_its_pause() -> None:
    """One call finds out for all others; its success closes the breaker, its failure starts another pause."""
    breaker = Breaker(failures=2, pause=5)
    for now in (0.0, 1.0):
        assert breaker.allows(now)
        breaker.failed(now)
    assert not breaker.allows(5.9)
    assert [breaker.allows(6), breaker.allows(6)] == [True, False]
    breaker.failed(6.5)
    assert not breaker.allows(11)
    assert breaker.allows(11.5)
    breaker.succeeded(11.6)
    assert [breaker.allows(12), breaker.allows(12)] == [True, True]


def test_what_keeps_failing_for_one_caller_does_not_keep_it_open() -> None:
    """When the pause is over, every address may try, once in each pause, and so many in all."""
    breaker = Breaker(failures=2, pause=5)
    for number in range(2):
        breaker.failed(0.0, Requester(number, b"%d" % number))
    assert not breaker.allows(4.9, "c")
    assert breaker.allows(6, "a")
    breaker.failed(6.5, Requester("a", b"a"))
    assert [breaker.allows(6.6, "a"), breaker.allows(6.6, "b")] == [False, True]
    assert [breaker.allows(7, number) for number in range(TRIES)].count(True) == TRIES - 2
    assert breaker.allows(12, "d")
    breaker.succeeded(12)
    assert breaker.allows(12, "a")

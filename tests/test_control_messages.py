"""What a gateway and its control plane say to each other."""

import json

import pytest

from gateway.control_messages import Heartbeat, Wanted, read


def test_a_heartbeat_says_rates_and_what_came_since_the_revision() -> None:
    """What a newer gateway says beside them is passed over; what it does not say is unknown, and not zero."""
    since = {"seconds": 60, "requests": 120, "errors": 6, "p95Ms": 41.5}
    heartbeat = read(Heartbeat, json.dumps({"instanceId": "a", "requestRate": 2, "sinceRevision": since, "newer": 1}))
    assert (heartbeat.request_rate, heartbeat.error_rate) == (2.0, None)
    assert heartbeat.since_revision is not None
    assert heartbeat.since_revision.errors == 6


@pytest.mark.parametrize(
    "words",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"instanceId": ""}',
        '{"instanceId": "a\\u0000b"}',
        '{"instanceId": "a", "uptimeSeconds": NaN}',
        '{"instanceId": "a", "uptimeSeconds": 1e999}',
        '{"instanceId": "a", "requestsTotal": -1}',
        '{"instanceId": "a", "requestsTotal": 99999999999999999999999999}',
        '{"instanceId": "a", "revision": "ABC"}',
        '{"instanceId": "a", "revision": "' + "a" * 64 + '\\n"}',
        '{"instanceId": "a", "source": "elsewhere"}',
        '{"instanceId": "a", "errorRate": 101}',
        '{"instanceId": "a", "version": "\\ud800"}',
        '{"instanceId": "a", "version": "' + "x" * 200 + '"}',
        '{"instanceId": "a", "labels": {' + ",".join(f'"{n}": "x"' for n in range(40)) + "}}",
        "[" * 10_000,
    ],
)
def test_what_is_no_heartbeat_is_refused_with_its_place(words: str) -> None:
    """Whatever is sent, it is a ValueError that says what is wrong."""
    with pytest.raises(ValueError, match=r"."):
        read(Heartbeat, words)


def test_texts_lose_what_terminals_and_databases_do_not_take() -> None:
    """NUL and escape sequences are replaced."""
    heartbeat = read(Heartbeat, '{"instanceId": "a", "version": "1\\u0000\\u001b[2J"}')
    assert heartbeat.version == "1\ufffd\ufffd[2J"


def test_what_is_wanted_is_read_as_it_is_written() -> None:
    """Both sides have the same words."""
    wanted = Wanted(revision="a" * 64, drift_policy="adopt", upload=True)
    assert wanted.wire()["driftPolicy"] == "adopt"
    assert read(Wanted, json.dumps(wanted.wire())) == wanted

"""What may be in messages of agents, and which of them are news."""

from __future__ import annotations

import json
import random
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from gateway.agents.link import Unusable
from gateway.agents.order import MOST, MOST_MISSED, Order
from gateway.agents.payloads import MODELS, AccessLog, Contents, HealthFeedback, Unreadable, Writer, read
from gateway.events import AgentStanding

REGISTRY = '{"service":"user-api","instances":[{"host":"10.0.1.5","port":8080,"health":"passing"}]}'
SEED = {
    "service-registry": REGISTRY,
    "auth-request": '{"request_id":"req-88210","path":"/api/v2/users","api_key":"key_example_4eC39H"}',
    "access-log": '{"request_id":"req-88210","client":"acme-corp","decision":"allow","latency_ms":12}',
    "health-feedback": '{"service":"user-api","instance":"10.0.1.6:8080","status":"failing","error_rate":0.42}',
}
INSIDE = Contents([ip_network("10.0.0.0/8"), ip_network("fd00::/8")])


@pytest.mark.parametrize("topic", SEED)
def test_messages_of_the_setup_are_read(topic: str) -> None:
    """As agents send them, and with members that are not known."""
    assert not isinstance(INSIDE(topic, SEED[topic].encode()), Unusable)
    found = INSIDE(topic, json.dumps(json.loads(SEED[topic]) | {"region": {"a": [1]}}).encode())
    assert found == read(topic, SEED[topic].encode())


@pytest.mark.parametrize("topic", SEED)
def test_what_is_written_is_what_is_read(topic: str) -> None:
    """The members of the setup, and five more."""
    written = json.dumps(Writer("acme-x", lambda: 1782900000.5).members(topic, json.loads(SEED[topic]))).encode()
    more = {"v": 1, "id": f"acme-x.1782900000500.{topic}.1", "ts": 1782900000.5, "seq": 1, "epoch": 1782900000500}
    assert json.loads(written) == json.loads(SEED[topic]) | more
    [message] = read(topic, written)
    assert (message.epoch, message.seq) == (1782900000500, 1)


WRONG: list[tuple[str, Any]] = [
    ("service-registry", {"service": "user-api"}),
    ("service-registry", {"service": "a\nb", "instances": []}),
    ("service-registry", {"service": "user\u202eipa", "instances": []}),
    ("service-registry", {"service": "", "instances": []}),
    ("service-registry", {"service": "x" * 201, "instances": []}),
    ("service-registry", {"service": "x", "instances": [{"host": "10.0.0.1", "port": "80"}]}),
    ("service-registry", {"service": "x", "instances": [{"host": "10.0.0.1", "port": True}]}),
    ("service-registry", {"service": "x", "instances": [{"host": "10.0.0.1", "port": 65536}]}),
    ("service-registry", {"service": "x", "instances": [{"host": "10.0.0.1", "port": 1, "health": "great"}]}),
    ("service-registry", {"service": "x", "instances": [], "v": 2}),
    ("service-registry", {"service": "x", "instances": [], "seq": 1}),
    ("service-registry", {"service": "x", "instances": [], "seq": -1, "epoch": 1}),
    ("service-registry", {"service": "x", "instances": [], "seq": 2**60, "epoch": 1}),
    ("service-registry", [json.loads(REGISTRY)]),
    ("auth-request", {"request_id": "a", "path": "/"}),
    ("auth-request", {"request_id": "a", "path": "/", "api_key": ""}),
    ("auth-request", {"request_id": "a", "path": "/", "credential": {"type": "api_key", "fingerprint": "md5:00"}}),
    ("access-log", {"request_id": "a", "client": "c", "decision": "maybe", "latency_ms": 1}),
    ("access-log", {"request_id": "a", "client": "c", "decision": "deny", "latency_ms": -1}),
    ("access-log", {"request_id": "a", "client": "\u2066c\u2069", "decision": "deny", "latency_ms": 1}),
    ("access-log", []),
    ("access-log", {"messages": []}),
    ("access-log", {"messages": 7}),
    ("access-log", {"messages": [{"messages": []}]}),
    ("access-log", {"messages": [json.loads(SEED["access-log"])] * 201}),
    ("health-feedback", {"messages": [json.loads(SEED["health-feedback"])]}),
    ("health-feedback", {"service": "x", "instance": "nowhere", "status": "failing"}),
    ("health-feedback", {"service": "x", "instance": "10.0.0.1:1", "status": "passing"}),
    ("health-feedback", {"service": "x", "instance": "[fd00::1%\x1b[2J]:1", "status": "failing"}),
    ("health-feedback", {"service": "x", "instance": "10.0.0.1:1", "status": "failing", "error_rate": 1.5}),
    ("api-alert", {}),
    ("no-topic", {}),
]


@pytest.mark.parametrize(("topic", "given"), WRONG)
def test_what_is_wrong_is_refused(topic: str, given: Any) -> None:
    """With the place, and without what was there."""
    refused = INSIDE(topic, json.dumps(given).encode())
    assert isinstance(refused, Unusable)
    assert refused.reason == "schema"
    assert len(refused.detail) <= 200


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe",
        b"nonsense",
        b"[" * 100_000,
        b'{"service":' + b'{"a":' * 5000,
        b'{"service":"\\ud800","instances":[]}',
        b'{"service":"x","instances":[],"ts":NaN}',
        b"null",
        b"7",
        b'"x"',
    ],
)
def test_what_is_no_message_is_refused(payload: bytes) -> None:
    """Bytes, nesting without end, halves of characters."""
    for topic in MODELS:
        with pytest.raises(Unreadable):
            read(topic, payload)


def test_ten_thousand_mutations() -> None:
    """Whatever comes, it is a message or none; nothing else happens."""
    chance = random.Random(14)
    for _ in range(10_000):
        topic = chance.choice(list(SEED))
        payload = bytearray(SEED[topic].encode())
        for _ in range(chance.randint(1, 6)):
            place = chance.randrange(len(payload))
            match chance.randrange(4):
                case 0:
                    payload[place] = chance.randrange(256)
                case 1:
                    del payload[place : place + chance.randrange(1, 9)]
                case 2:
                    payload[place:place] = payload[chance.randrange(len(payload)) :][:9]
                case _:
                    payload[place:place] = chance.choice([b"1e999", b"[[", b'"', b"-0", b"null", b"\\u0000", b"9" * 30])
            payload = payload or bytearray(b"x")
        found = INSIDE(topic, bytes(payload))
        if isinstance(found, Unusable):
            assert found.reason in ("schema", "network")
        else:
            assert all(isinstance(each, MODELS[topic]) for each in found)


def test_a_secret_is_in_no_error() -> None:
    """Nor in what a message is printed as."""
    key = "key_example_4eC39H"
    refused = INSIDE("auth-request", json.dumps({"request_id": 1, "path": "/", "api_key": key}).encode())
    assert isinstance(refused, Unusable)
    assert key not in refused.detail
    assert key not in repr(read("auth-request", SEED["auth-request"].encode()))


@pytest.mark.parametrize(
    "host", ["192.0.2.1", "user-api.local", "169.254.169.254", "::1", "::ffff:192.0.2.1", "0x0a000001", "10.1", "[::1]"]
)
def test_instances_are_in_the_allowed_networks(host: str) -> None:
    """One that is not has the whole message refused; names may lead anywhere."""
    given = {"service": "x", "instances": [{"host": "10.0.0.1", "port": 1}, {"host": host, "port": 1}]}
    refused = INSIDE("service-registry", json.dumps(given).encode())
    assert isinstance(refused, Unusable)
    assert refused.reason == "network"
    inside = {"service": "x", "instances": [{"host": each, "port": 1} for each in ("10.9.9.9", "fd00::1")]}
    assert not isinstance(INSIDE("service-registry", json.dumps(inside).encode()), Unusable)
    assert isinstance(Contents([])("service-registry", REGISTRY.encode()), Unusable)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
        "255.255.255.255",
        "fe80::1",
        "fd00::1%eth0",
        "fd00::1%\x1b[2J\n",
        "]10.0.0.5[",
        "0.0.0.0",
        "::",
        "224.0.0.1",
    ],
)
def test_what_is_no_place_for_an_instance_is_none_anywhere(host: str) -> None:
    """Metadata services and the like, also where all networks are allowed."""
    anywhere = Contents([ip_network("0.0.0.0/0"), ip_network("::/0")])
    given = {"service": "x", "instances": [{"host": host, "port": 1}]}
    refused = anywhere("service-registry", json.dumps(given).encode())
    assert isinstance(refused, Unusable)
    assert refused.reason == "network"


def _log(epoch: int, seq: int) -> AccessLog:
    return AccessLog(request_id="r", client="c", decision="allow", latency_ms=1.0, epoch=epoch, seq=seq)


def test_only_news_counts(tmp_path: Path) -> None:
    """What was seen, or is older, does not count; nor after a restart, nor beside a larger epoch. Gaps are counted."""
    path = tmp_path / "order.json"
    order = Order(path)
    news = [order.is_news("acme-auth", "access-log", _log(*number)) for number in ((7, 1), (7, 2), (7, 2), (7, 1))]
    assert news == [True, True, False, False]
    assert order.is_news("acme-auth", "access-log", _log(7, 6))
    assert order.missed["access-log"] == 3
    assert order.is_news("acme-auth", "access-log", _log(8, 1))
    assert not order.is_news("acme-auth", "access-log", _log(7, 900))
    assert order.is_news("acme-router", "access-log", _log(1, 1))
    order.save()
    again = Order(path)
    assert not again.is_news("acme-auth", "access-log", _log(8, 1))
    assert again.is_news("acme-auth", "access-log", _log(8, 2))
    assert (order.old["access-log"], path.stat().st_mode & 0o777) == (3, 0o600)


def test_an_epoch_far_ahead_does_not_silence_its_sender(tmp_path: Path) -> None:
    """Neither when it comes, nor one that was taken before and is in the file."""
    now = 1_782_900_000
    year, hour, path = (now + 31_536_000) * 1000, (now + 3600) * 1000, tmp_path / "order.json"
    minute = (now + 60) * 1000
    taken = Order(path, lambda: now + 31_536_000.0)
    assert taken.is_news("acme-auth", "access-log", _log(year, 9))
    taken.save()
    order = Order(path, lambda: float(now))
    assert not order.is_news("acme-auth", "access-log", _log(year, 10))
    assert not order.is_news("acme-auth", "access-log", _log(hour, 1))
    assert order.is_news("acme-auth", "access-log", _log(minute, 1))
    assert not order.is_news("acme-auth", "access-log", _log(minute, 1))
    assert order.old["access-log"] == 3


@pytest.mark.parametrize("wrong", [-7200, -90, 30, 200, 7200])
def test_an_agent_whose_clock_is_put_right_is_believed(wrong: int) -> None:
    """Without a restart, by who has heard it before with a right clock: it begins before its clock is set, as machines
    without a battery do."""
    now, started = 1_782_900_000.0, 100.0
    order = Order(None, lambda: now)
    before = Writer("acme-auth", lambda: now, lambda: started)
    fields = {"request_id": "r", "client": "c", "decision": "allow", "latency_ms": 1}

    def is_news(writer: Writer) -> bool:
        [message] = read("access-log", json.dumps(writer.members("access-log", fields)).encode())
        return order.is_news("acme-auth", "access-log", message)

    assert is_news(before)
    now, started, off = now + 300, started + 300, wrong
    writer = Writer("acme-auth", lambda: now + off, lambda: started)
    assert is_news(writer) is (-300 < wrong <= 300)
    now, started, off = now + 10, started + 10, 0
    assert is_news(writer)
    assert is_news(writer)
    assert order.missed["access-log"] == 0


def test_numbers_that_could_not_be_written_are_written_later(tmp_path: Path) -> None:
    """Where the disk is full for a while, or the directory away: else they could be played again after a restart."""
    path = tmp_path / "agents" / "order.json"
    order = Order(path)
    assert order.is_news("acme-auth", "access-log", _log(7, 1))
    with pytest.raises(OSError, match="agents"):
        order.save()
    path.parent.mkdir()
    order.save()
    assert not Order(path).is_news("acme-auth", "access-log", _log(7, 1))


def test_long_names_do_not_have_the_numbers_forgotten(tmp_path: Path) -> None:
    """The file has a bound, and one that is longer would not be read: what was recorded could be played again."""
    order = Order(tmp_path / "order.json")
    votes = [
        HealthFeedback(
            service=f"{number:06}" + "\U0001f600" * 190, instance="10.0.0.1:1", status="failing", epoch=1, seq=number
        )
        for number in range(MOST)
    ]
    assert all(order.is_news("acme-monitor", "health-feedback", vote) for vote in votes)
    order.save()
    again = Order(tmp_path / "order.json")
    assert not any(again.is_news("acme-monitor", "health-feedback", vote) for vote in votes)


def test_a_gap_is_never_more_than_the_gateway_can_count() -> None:
    """Numbers are those of another node, which may choose them so that their sums fit into no report."""
    order = Order()
    for epoch in range(1, 5):
        assert order.is_news("acme-auth", "access-log", _log(epoch, 0))
        assert order.is_news("acme-auth", "access-log", _log(epoch, 2**53))
    assert order.missed["access-log"] == 4 * MOST_MISSED
    counts = {"missed": dict(order.missed)}
    AgentStanding(hostname="acme-monitor", role="monitor", state="connected", counts=counts)


def test_a_message_without_numbers_always_counts() -> None:
    """As the agents of the setup send them."""
    order = Order()
    [message] = read("service-registry", REGISTRY.encode())
    assert [order.is_news("a", "service-registry", message) for _ in range(3)] == [True, True, True]


def test_services_are_in_order_each_by_itself() -> None:
    """A later message about one service makes one about another no older."""
    order, writer = Order(), Writer("acme-discovery", lambda: 1.0)
    first, second = (
        read(
            "service-registry",
            json.dumps(writer.members("service-registry", {"service": name, "instances": []})).encode(),
        )[0]
        for name in ("one", "two")
    )
    assert order.is_news("acme-discovery", "service-registry", second)
    assert order.is_news("acme-discovery", "service-registry", first)
    assert not order.is_news("acme-discovery", "service-registry", second)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a": 1}', b'{"a": [1]}', b'{"a": ["x", 1]}', b"\xff"])
def test_a_broken_file_of_numbers_is_no_reason_not_to_start(tmp_path: Path, content: bytes) -> None:
    """It begins anew."""
    path = tmp_path / "order.json"
    path.write_bytes(content)
    assert Order(path).is_news("acme-auth", "access-log", _log(1, 1))

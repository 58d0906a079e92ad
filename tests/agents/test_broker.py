"""Port 1002 of a role: who hears what, and who is cut off."""

from __future__ import annotations

import random

from gateway.agents.broker import CONNECTIONS_OF_A_NODE, PORT, UNCONFIRMED_MOST, WAITING_MOST, Broker
from gateway.agents.daemon import Connection
from gateway.agents.frames import Event, encoded


class Line:
    """The socket of a daemon, as the broker sees it."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, bytes]] = []
        self.over: list[int] = []
        self.unsent = 0

    def send(self, connection: int, data: bytes) -> None:
        self.sent.append((connection, data))

    def end(self, connection: int) -> None:
        self.over.append(connection)


class Around:
    """A broker with what it tells."""

    def __init__(self, trusted: frozenset[int] = frozenset(range(1, 100)), peers: frozenset[int] = frozenset()) -> None:
        self.published: list[tuple[int, Event]] = []
        self.broken: list[int] = []
        self.line = Line()
        self.broker = Broker(
            lambda node, _, event: self.published.append((node, event)),
            lambda node, _: self.broken.append(node),
            lambda node: node in trusted,
            lambda node: node in peers,
            lambda: None,
        )
        self.broker.attach(self.line)

    def subscriber(self, connection: int, node: int, topic: str) -> None:
        self.broker.opened(connection, node, PORT)
        self.broker.received(connection, encoded(topic))


def test_subscribers_hear_their_topic_or_all() -> None:
    """What is published goes to who asked for its topic, and to `*`."""
    around = Around()
    for connection, topic in ((1, "access-log"), (2, "*"), (3, "api-alert")):
        around.subscriber(connection, 9, topic)
    around.broker.publish("access-log", b"1")
    assert around.line.sent == [(1, encoded("access-log", b"1")), (2, encoded("access-log", b"1"))]


def test_who_is_not_trusted_hears_nothing() -> None:
    """Also if the daemon let it call; and its connections end when they are looked at, which is told of subscribers."""
    around = Around(frozenset({1}))
    around.subscriber(1, 1, "*")
    around.subscriber(2, 66, "*")
    around.broker.publish("access-log", b"1")
    assert [connection for connection, _ in around.line.sent] == [1]
    around.broker.opened(3, 66, PORT)
    around.subscriber(4, 66, "service-registry")
    around.broker.received(4, encoded("service-registry", b"{}"))
    assert around.broker.drop(lambda node: node == 66) == [(66, "*"), (66, "")]
    assert around.line.over == [2, 3, 4]


def test_each_frame_after_the_first_is_published_with_its_node() -> None:
    """The node is that of the connection: a frame does not say it."""
    around = Around()
    around.subscriber(1, 7, "service-registry")
    around.broker.received(1, encoded("service-registry", b"{}") + encoded("access-log", b"[]"))
    assert [(node, event.topic, event.payload) for node, event in around.published] == [
        (7, "service-registry", b"{}"),
        (7, "access-log", b"[]"),
    ]


def test_a_subscriber_who_does_not_read_is_cut_off_alone() -> None:
    """256 KiB wait for it at most; one who reads gets everything."""
    around = Around()
    around.subscriber(1, 1, "*")
    around.subscriber(2, 2, "*")
    payload = b"x" * 10_000
    for number in range(200):
        around.broker.publish("access-log", payload)
        around.broker.confirm([Connection(2, number * 10_000, None, None, False)])
    assert around.line.over == [1]
    assert around.broker.cut == 1
    assert sum(len(data) for connection, data in around.line.sent if connection == 1) <= UNCONFIRMED_MOST + 11_000
    assert len([1 for connection, _ in around.line.sent if connection == 2]) == 200
    assert WAITING_MOST == 256 * 1024


def test_a_daemon_that_takes_nothing_is_sent_nothing_more() -> None:
    """What waits stays with the subscriber, and is bounded there."""
    around = Around()
    around.subscriber(1, 1, "*")
    around.line.unsent = 1 << 30
    for _ in range(100):
        around.broker.publish("access-log", b"x" * 10_000)
    assert around.line.sent == []
    assert around.line.over == [1]


def test_one_node_has_a_bounded_number_of_connections() -> None:
    """Another one still finds a place."""
    around = Around()
    for connection in range(CONNECTIONS_OF_A_NODE + 5):
        around.broker.opened(connection, 1, PORT)
    assert len(around.line.over) == 5
    around.subscriber(100, 2, "*")
    assert around.broker.subscribers == 1


def test_strangers_leave_room_for_who_is_trusted() -> None:
    """However many nodes call that the daemon should not have let in."""
    around = Around(frozenset({1}))
    for connection in range(200):
        around.broker.opened(connection, 1000 + connection, PORT)
    around.subscriber(500, 1, "*")
    around.broker.publish("access-log", b"1")
    assert [connection for connection, _ in around.line.sent] == [500]


def test_who_is_trusted_leaves_room_for_peers() -> None:
    """A daemon may trust hundreds of nodes by itself; the agents of the setup are still heard."""
    around = Around(frozenset(range(1, 500)), frozenset({7}))
    for connection in range(400):
        around.broker.opened(connection, 8 + connection, PORT)
    around.subscriber(500, 7, "service-registry")
    around.broker.received(500, encoded("service-registry", b"{}"))
    assert [(node, event.payload) for node, event in around.published] == [(7, b"{}")]


def test_mutated_frames_end_their_connection_and_nothing_else() -> None:
    """10,000 of them: the next caller is served."""
    around, chosen = Around(), random.Random(14)
    whole = encoded("service-registry") + encoded("service-registry", b'{"service":"a"}') * 3
    for connection in range(10_000):
        data = bytearray(whole)
        for _ in range(chosen.randrange(1, 9)):
            data[chosen.randrange(len(data))] = chosen.randrange(256)
        around.broker.opened(connection, 1, PORT)
        around.broker.received(connection, bytes(data))
        around.broker.ended(connection)
    assert around.broken
    around.subscriber(99_999, 2, "*")
    assert around.broker.subscribers == 1

import socket

import httpx2
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from gateway.demo import SHOWN_BODY, main, serve

from .conftest import Demo


def test_answers_with_what_it_received(demo: Demo) -> None:
    """A demo backend answers any request with its method, raw path, query, headers and body."""
    headers = [("X-Tag", "a"), ("X-Tag", "b")]
    answer = httpx2.put(f"http://{demo.gateway}/one%2Ftwo?x=1&x=2", headers=headers, content=b"hello").json()
    assert answer["service"] == "gateway"
    assert answer["method"] == "PUT"
    assert answer["path"] == "/one%2Ftwo"
    assert answer["query"] == "x=1&x=2"
    assert answer["headers"]["x-tag"] == "a, b"
    assert (answer["body"], answer["body_length"]) == ("hello", 5)


def test_counts_a_large_body_and_shows_its_beginning(demo: Demo) -> None:
    """A body over 64 KiB is counted whole, and only its beginning is shown."""
    answer = httpx2.post(f"http://{demo.gateway}/", content=(b"x" * 10_000 for _ in range(300)), timeout=30).json()
    assert answer["body_length"] == 3_000_000
    assert answer["body"] == "x" * SHOWN_BODY


def test_has_a_probe(demo: Demo) -> None:
    """/health says that the backend is well, and which one it is."""
    answer = httpx2.get(f"http://{demo.frontend}/health")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "service": "frontend"}


def test_streams_as_many_events_as_asked_for(demo: Demo) -> None:
    """A path ending in /events is an event stream of `count` events."""
    answer = httpx2.get(f"http://{demo.gateway}/v1/x/events?count=3&interval=0")
    assert answer.headers["content-type"] == "text/event-stream"
    assert [line for line in answer.text.splitlines() if line.startswith("id:")] == ["id: 1", "id: 2", "id: 3"]


@pytest.mark.parametrize("query", ["count=many", "interval=soon", "count=-1", "interval=nan", "interval=-1"])
def test_refuses_a_pace_that_makes_no_sense(demo: Demo, query: str) -> None:
    """A stream whose count or interval cannot be is refused with a sentence that names both."""
    answer = httpx2.get(f"http://{demo.gateway}/events?{query}")
    assert answer.status_code == 400
    assert "count" in answer.json()["error"]
    assert "interval" in answer.json()["error"]


def test_echoes_websocket_messages(demo: Demo) -> None:
    """A path ending in /ws echoes text and bytes, and takes the first subprotocol offered."""
    with connect(f"ws://{demo.gateway}/any/ws", subprotocols=[Subprotocol("chat"), Subprotocol("log")]) as websocket:
        assert websocket.subprotocol == "chat"
        websocket.send("text")
        assert websocket.recv(10) == "text"
        websocket.send(b"\x00\xff")
        assert websocket.recv(10) == b"\x00\xff"


def test_refuses_a_websocket_elsewhere(demo: Demo) -> None:
    """A WebSocket at any other path is refused with 403."""
    with pytest.raises(InvalidStatus) as refused, connect(f"ws://{demo.gateway}/chat"):
        pass
    assert refused.value.response.status_code == 403


def test_ends_cleanly_while_a_stream_is_open(own_demo: Demo) -> None:
    """SIGTERM ends an endless event stream whole, and the process with status 0."""
    with httpx2.stream("GET", f"http://{own_demo.gateway}/events?interval=3600", timeout=20) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "id: 1"
        assert own_demo.stop() == 0
        assert next(lines).startswith("data: ")
        assert list(lines) == [""]


def test_answers_as_it_is_asked_to(demo: Demo) -> None:
    """`status` and `max-age` in the query say how: for trying retries, breakers and the cache."""
    answer = httpx2.get(f"http://{demo.gateway}/x?status=503&max-age=60")
    assert (answer.status_code, answer.headers["cache-control"]) == (503, "max-age=60")
    assert httpx2.get(f"http://{demo.gateway}/x?status=99").status_code == 400


def test_refuses_a_backend_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """An argument without a port is answered with what was expected."""
    assert main(["orders"]) == 2
    assert "NAME:PORT" in capsys.readouterr().err


async def test_names_the_port_that_is_taken() -> None:
    """A port that something else listens on is named, with what to do about it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"127\.0\.0\.1:{port}: Address already in use; end what uses it"):
            await serve({"scheduling": port})

"""What a WebSocket handshake agrees to."""

from __future__ import annotations

import pytest

from gateway.http import Headers
from gateway.http.frames import RESERVED, RSV1
from gateway.http.handshake import BadHandshake, Negotiated, accept_of, check_answer, make_key

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ASKED: Headers = [
    (b"sec-websocket-key", KEY),
    (b"sec-websocket-protocol", b"chat, superchat"),
    (b"sec-websocket-extensions", b'permessage-deflate; client_max_window_bits, x-other; a="b, c"'),
]
ANSWER: Headers = [
    (b"upgrade", b"WebSocket"),
    (b"connection", b"keep-alive, Upgrade"),
    (b"sec-websocket-accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
]


def test_the_example_of_the_rfc() -> None:
    """RFC 6455, 1.3."""
    assert accept_of(KEY) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert len(make_key()) == 24


@pytest.mark.parametrize(
    ("lines", "negotiated"),
    [
        ([], Negotiated()),
        ([(b"sec-websocket-protocol", b"superchat")], Negotiated()),
        ([(b"sec-websocket-extensions", b"Permessage-Deflate; server_no_context_takeover")], Negotiated(RSV1, 0)),
        ([(b"sec-websocket-extensions", b"x-other")], Negotiated(RESERVED, RESERVED)),
        ([(b"sec-websocket-extensions", b'x-other; a="1,2", permessage-deflate')], Negotiated(RESERVED, RESERVED)),
    ],
)
def test_what_was_offered_may_be_selected(lines: Headers, negotiated: Negotiated) -> None:
    """The reserved bits follow from the extensions."""
    assert check_answer(ASKED, [*ANSWER, *lines]) == negotiated


@pytest.mark.parametrize(
    "answer",
    [
        ANSWER[1:],
        [ANSWER[0], ANSWER[2]],
        ANSWER[:2],
        [*ANSWER[:2], (b"sec-websocket-accept", KEY)],
        [*ANSWER, ANSWER[2]],
        [(b"upgrade", b"h2c"), *ANSWER[1:]],
        [*ANSWER, (b"sec-websocket-protocol", b"other")],
        [*ANSWER, (b"sec-websocket-protocol", b"chat, superchat")],
        [*ANSWER, (b"sec-websocket-protocol", b"chat"), (b"sec-websocket-protocol", b"chat")],
        [*ANSWER, (b"sec-websocket-extensions", b"x-none")],
        [*ANSWER, (b"sec-websocket-extensions", b"x-other, x-other")],
    ],
)
def test_what_was_not_offered_may_not(answer: Headers) -> None:
    """Nor an answer to another key, or to another question."""
    with pytest.raises(BadHandshake):
        check_answer(ASKED, answer)

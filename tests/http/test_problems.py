"""In which form a client is told what went wrong."""

from __future__ import annotations

import pytest

from gateway.http.problems import wants_text


@pytest.mark.parametrize(
    ("accept", "text"),
    [
        (b"", False),
        (b"*/*", False),
        (b"text/plain", True),
        (b"text/plain, application/json", True),
        (b"application/json, text/plain", False),
        (b"application/problem+json;q=0.2, text/plain;q=0.9", True),
        (b"text/plain;q=0.1, application/json", False),
        (b"text/plain;q=0, application/json", False),
        (b"text/plain;q=0", False),
        (b"text/plain;q=nonsense", False),
    ],
)
def test_plain_text_goes_to_those_who_prefer_it(accept: bytes, text: bool) -> None:
    """The weights of Accept decide, then the order; whoever does not ask for text gets a problem document."""
    assert wants_text(accept) is text

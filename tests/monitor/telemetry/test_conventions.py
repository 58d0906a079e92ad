"""What spans are called and what they have."""

from __future__ import annotations

import re

import pytest

from gateway.monitor.telemetry.conventions import CLIENT, SERVER, address_of
from gateway.monitor.telemetry.genai import GENAI
from tests.deploy.programs import ROOT

PAGE = ROOT / "docs" / "tracing.md"


def test_the_page_lists_the_attributes() -> None:
    """All of them, in the order in which they stand in a span."""
    text = PAGE.read_text()
    starts = "The server span has", "That of a request to a model has", "The client span of"
    server, model, client = (text.split(start)[1].split("\n\n")[1] for start in starts)
    for table, expected in ((server, SERVER), (model, GENAI), (client, CLIENT)):
        assert re.findall(r"^\| `([a-z_.0-9]+)` \|", table, re.MULTILINE) == list(expected)


@pytest.mark.parametrize(
    ("authority", "name", "port"),
    [
        ("a.example", "a.example", None),
        ("a.example:81", "a.example", 81),
        ("[::1]:81", "::1", 81),
        ("[::1]", "::1", None),
        ("::1", "::1", None),
        ("a:port", "a:port", None),
        ("a:", "a:", None),
        ("", "", None),
        ("asgi:module:app", "asgi:module:app", None),
    ],
)
def test_hosts_are_names_and_ports(authority: str, name: str, port: int | None) -> None:
    """In whichever way clients write them."""
    assert address_of(authority) == (name, port)

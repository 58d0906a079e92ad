"""What goes through the gateway is what came, byte for byte, in both directions, whatever it looks like."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.clients.world import KEY, World, world

MODELS = """
providers:
  one: {protocol: openai, base_url: "http://<openai>/v1", keys: [a], models: ["small*"]}
  two: {protocol: anthropic, base_url: "http://<anthropic>", keys: [b], models: ["small*"]}
aliases: {renamed: {one: small, two: small}}
"""
SAID = b'"messages" :[ {"role":"user","content":"h\\u00e9llo \xf0\x9f\x8c\x8d, \\"there\\" one two \\ud83d"} ]'
USAGE = b'"stream_options":{"include_usage":true}'
PATHS = {
    "openai": ("/v1/chat/completions", SAID + b"," + USAGE),
    "anthropic": ("/v1/messages", b'"max_tokens":64,' + SAID),
}
COPIES = (b"", b" ", b"\n\t", b"\r\n  ")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory: Path = tmp_path_factory.mktemp("bytes")
    with world(directory, MODELS, "openai", "anthropic") as made:
        yield made


def post(port: int, path: str, body: bytes) -> bytes:
    """All bytes of an answer's body."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        headers = {"authorization": f"Bearer {KEY}", "x-api-key": KEY, "content-type": "application/json"}
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read()
    finally:
        connection.close()


def written(space: bytes, model: bytes, others: bytes, unknown: bytes, *, first: bool) -> bytes:
    """A body with members in either order and space anywhere."""
    named = b'"model"' + space + b":" + space + b'"' + model + b'"'
    members = [named, others] if first else [others, named]
    return space + b"{" + space + (space + b"," + space).join([*members, b'"x":' + unknown]) + space + b"}" + space


@given(
    family=st.sampled_from(sorted(PATHS)),
    space=st.sampled_from(COPIES),
    unknown=st.sampled_from(
        [b"1.0", b"1E400", b'{"model":"inner"}', b'"\\ud83d"', b"123456789012345678901234567890", b"[]"]
    ),
    split=st.integers(1, 64),
    first=st.booleans(),
    stream=st.booleans(),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_changes_nothing(
    gateway: World, family: str, space: bytes, unknown: bytes, split: int, first: bool, stream: bool
) -> None:
    """The body reaches the provider as it was, and a stream the client, written in pieces of any size."""
    path, members = PATHS[family]
    others = members + (b',"stream" : true' if stream else b"")
    body = written(space, b"small+split-%d" % split, others, unknown, first=first)
    through = post(gateway.gateway.port, path, body)
    direct = post(gateway.ports[family], path, body)
    received = gateway.providers[family].received
    assert received[-2].body == received[-1].body == body
    assert through == direct


@pytest.mark.parametrize("family", PATHS)
@pytest.mark.parametrize("space", COPIES)
@pytest.mark.parametrize("name", [b"renamed", b"ren\\u0061med"])
def test_changes_an_alias_and_nothing_else(gateway: World, family: str, space: bytes, name: bytes) -> None:
    """Of a body with an alias only the name of the model differs."""
    path, members = PATHS[family]
    post(gateway.gateway.port, path, written(space, name, members, b"1.0", first=False))
    assert gateway.providers[family].received[-1].body == written(space, b"small", members, b"1.0", first=False)

"""WebSockets of models, through a gateway process."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from gateway.algorithms.globs import Glob
from gateway.demo_models import DemoModels, serving
from gateway.http import Decision
from gateway.http.frames import close_frame
from gateway.http.testing import make_exchange
from gateway.llm.choosing import Offer
from gateway.llm.realtime import SessionCheck
from tests.support import computes_within, running_gateway

MODELS = """
providers:
  one: {protocol: openai, base_url: "http://127.0.0.1:%d/v1", keys: [provider-key], models: [voice-1, "heard-*"]}
aliases: {voice: {one: voice-1}}
"""
ROUTES = "routes: [{path: /else, respond: 204, auth: []}]\n"
AUTH = """
schemes: {keys: {api_key: {header: X-API-Key}}}
default: [keys]
consumers: [{name: alice, keys: ["sha256:%s"]}]
"""
CHECK = SessionCheck(Offer("one", "openai", ("voice-1", "heard-*")), frozenset({"voice", "voice-1"}), None)
LIMITED = SessionCheck(CHECK.offer, CHECK.own, (Glob("voice"), Glob("heard-1")))


def updated(**session: Any) -> bytes:
    return json.dumps({"type": "session.update", "session": session}).encode()


@pytest.mark.parametrize(
    "message",
    [
        updated(model="voice-1", voice="model", instructions="name a model: secret"),
        updated(audio={"input": {"transcription": {"model": "heard-1"}}}),
        updated(tools=[{"type": "function", "name": "f", "parameters": {"properties": {"model": {"type": "string"}}}}]),
        json.dumps({"type": "response.create", "response": {"metadata": {"model": "secret"}}}).encode(),
        b'{"type": "input_audio_buffer.append", "audio": "bW9kZWw="}',
        b'{"item": {"type": "message", "content": [{"type": "input_text", "text": "model: \\n secret"}]}}',
    ],
)
def test_a_session_may_name_models_of_its_provider(message: bytes) -> None:
    """Its own, and others that are offered; what is said of models in texts and schemas names none."""
    assert (CHECK(message), LIMITED(message)) == ("", "")


@pytest.mark.parametrize(
    ("message", "member"),
    [
        (updated(model="secret"), "session.model"),
        (updated(audio={"input": {"transcription": {"model": "secret"}}}), "session.audio.input.transcription.model"),
        (updated(input_audio_transcription={"model": "secret"}), "session.input_audio_transcription.model"),
        (b'{"type": "response.create", "response": {"Model": "secret"}}', "response.Model"),
        (b'{"type": "response.create", "response": {"\\u006dodel": "secret"}}', "response.model"),
        ('{"type": "response.create", "response": {"model": "secret"}}'.encode("utf-16"), "response.model"),
        (b'{"type": "response.create", "response": {"fallbacks": ["voice-1", "secret"]}}', "response.fallbacks"),
    ],
)
def test_a_session_may_not_name_others(message: bytes, member: str) -> None:
    """However that is written; the refusal names the model, its place, and what may be used."""
    rest = f"`secret` ({member}); you may use: voice, voice-1"
    assert CHECK(message) == f"the provider here does not offer {rest}"
    assert LIMITED(message) == f"you may not use the model {rest}, heard-1"


LARGEST = 16 * 1024 * 1024  # bytes, about


@pytest.mark.parametrize(
    ("begin", "unit", "passes"),
    [
        (b'{"type": "input_audio_buffer.append", "audio": "', b"bW9k", True),
        (b'{"model": "voice-1", "audio": "', b"bW9k", True),
        (b'{"model": "voice-1", "text": "', b"\\u0041", True),
        (b'{"model": "voice-1", "text": "\\ud800', b"\\u0041", True),
        (b'{"model": "voice-1", "a": [1', b',{"b":1}', False),
        (b'{"model": "voice-1", "a": [1', b",[]", False),
        (b'{"model": "voice-1", "a": [1', b",1", False),
        (b'{"model": ["voice-1"', b',"voice-1"', False),
        (b'{"a": [1', b",1", True),
    ],
)
def test_a_large_message_is_looked_at_in_little_time(begin: bytes, unit: bytes, passes: bool) -> None:
    """All else waits meanwhile. One that may name a model may have strings of any length, and a bounded number of
    members and elements, which is what takes long."""
    end = b'"}' if begin.count(b'"') % 2 else b"]}"
    message = begin + unit * (LARGEST // len(unit)) + end
    checks = (CHECK, LIMITED)
    expected = "" if passes else "a message that may name a model has more than 100000 commas and brackets"
    for check in checks:
        assert check(message) == expected
        assert computes_within(0.25, lambda check=check: check(message))  # type: ignore[misc]
    some = begin + unit * 10_000 + end
    assert [check(some) for check in checks] == ["", ""]


def test_a_limited_consumer_names_what_it_may() -> None:
    """Of what the provider offers, and without any doubt."""
    heard = updated(audio={"input": {"transcription": {"model": "heard-2"}}})
    twice = b'{"type": "session.update", "session": {"model": "secret", "model": "voice"}}'
    assert (CHECK(heard), CHECK(twice)) == ("", "")
    place = "session.audio.input.transcription.model"
    assert LIMITED(heard) == f"you may not use the model `heard-2` ({place}); you may use: voice, voice-1, heard-1"
    assert "once" in LIMITED(twice)
    assert "once" in LIMITED(b'{"model": "secret",}')
    assert "too many" in CHECK(updated(models=[str(number) for number in range(200)]))


def test_a_refusal_fits_into_a_close_frame() -> None:
    """Of 123 bytes of UTF-8: long names are cut, and of what may be used as many are named as there is room."""
    offer = Offer("one", "openai", tuple(f"voice-{number}" for number in range(100)))
    check = SessionCheck(offer, frozenset({"voice-1"}), None)
    said = check(updated(**{"é" * 40: [{"nested" * 40: {"fallbacks": ["voice-1", "ü" * 400]}}]}))
    assert len(said.encode()) <= 123
    assert ("`ü" in said, "fallbacks)" in said) == (True, True)
    said = check(updated(model="secret"))
    assert len(said.encode()) <= 123
    assert said.endswith("voice-1, voice-0, voice-2, voice-3 and others")
    cut = close_frame(1008, masked=False, said="ü" * 200)
    assert cut[4:].decode() == "ü" * 61


def test_a_refusal_is_a_decision_about_the_session() -> None:
    """Of the rule `models`, without what the client wrote, which may be anything."""
    exchange = make_exchange()
    check = SessionCheck(CHECK.offer, CHECK.own, LIMITED.globs, exchange)
    for message in (updated(model="voice"), updated(model="secret"), b'["model"]'):
        check(message)
    assert exchange.decisions == (
        Decision("models", "deny", "a message names a model that the consumer may not use, as `model`"),
        Decision("models", "deny", "a message must be a JSON object in which every member is named once"),
    )


async def test_a_websocket_of_a_model_passes_with_the_key_exchanged(tmp_path: Path) -> None:
    """Whichever name the model goes by; what is not offered is refused before."""
    async with serving(DemoModels()) as port:
        (tmp_path / "config").mkdir()
        (tmp_path / "config" / "models.yaml").write_text(MODELS % port)
        auth = AUTH % sha256(b"client-key").hexdigest()
        with running_gateway(tmp_path, ROUTES, auth=auth) as gateway:
            url = f"ws://127.0.0.1:{gateway.port}/v1/realtime"
            protocols = [Subprotocol("realtime"), Subprotocol("openai-insecure-api-key.client-key")]
            async with connect(f"{url}?model=voice", subprotocols=protocols, proxy=None) as client:
                assert "session.created" in str(await client.recv())
                await client.send("hello")
                assert await client.recv() == "hello"
                heard = updated(audio={"input": {"transcription": {"model": "heard-1"}}}).decode()
                await client.send([heard[:60], heard[60:]])
                assert await client.recv() == heard
                await client.send(updated(model="secret").decode())
                with pytest.raises(ConnectionClosed) as ended:
                    await client.recv()
                assert ended.value.rcvd is not None
                assert (ended.value.rcvd.code, "does not offer" in ended.value.rcvd.reason) == (1008, True)
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"{url}?model=other", subprotocols=protocols, proxy=None)
            assert refused.value.response.status_code == 404
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"{url}?model=voice", proxy=None)
            assert refused.value.response.status_code == 401

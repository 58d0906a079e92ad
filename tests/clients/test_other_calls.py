"""What SDKs offer beside plain calls, through the gateway with two deployments of OpenAI's API."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.conftest import PROGRAMS
from tests.clients.support import ENVIRONMENT
from tests.clients.world import KEY, World, world

MODELS = """
providers:
  one: {protocol: openai, base_url: "http://<one>/v1", keys: [key-of-one], models: [small]}
  two: {protocol: openai, base_url: "http://<two>/v1", keys: [key-of-two], models: [small]}
  three: {protocol: anthropic, base_url: "http://<anthropic>", keys: [key-of-anthropic], models: [small]}
  four: {protocol: gemini, base_url: "http://<gemini>", keys: [key-of-gemini], models: [small]}
aliases: {renamed: {one: small, two: small, three: small, four: small}}
modelRouting:
  default: any
  profiles: {any: {providers: [{name: one, weight: 1}, {name: two, weight: 1}, three, four]}}
"""
SAID = "You said: hello there"


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("calls"), MODELS, "one", "two", "anthropic", "gemini") as made:
        yield made


@pytest.fixture(scope="module")
def came(behind: World) -> Any:
    """What all calls gave."""
    command = [str(ENVIRONMENT / "bin" / "python"), str(PROGRAMS / "other_calls.py"), behind.url, KEY]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout)


def test_goes_on_where_a_conversation_began(came: Any, behind: World) -> None:
    """Ids of responses lead to the deployment that made them; both were used."""
    turns = [[f"You said: number {number}, turn 1", "gone"] for number in range(10)]
    assert came["conversations"] == [each for turn in turns for each in turn]
    keys = [{received.key for received in behind.providers[name].received} for name in ("one", "two")]
    assert keys == [{"key-of-one"}, {"key-of-two"}]


def test_streams_are_put_together(came: Any) -> None:
    """The helpers of the SDKs give the whole answers."""
    assert came["helpers"] == [SAID] * 3


def test_forms_reach_the_provider_with_its_name_of_the_model(came: Any, behind: World) -> None:
    """Pictures and sound arrive whole, with the alias replaced."""
    assert came["forms"] == [True, 1, "ID3hello"]
    forms = [
        received
        for name in ("one", "two")
        for received in behind.providers[name].received
        if received.path.startswith(("/v1/audio/trans", "/v1/images"))
    ]
    assert [received.body.count(b"x" * 300_000) for received in forms] == [1, 1]
    assert all(b"renamed" not in received.body and b"small" in received.body for received in forms)


def test_other_ways_to_call(came: Any) -> None:
    """Bearer tokens, betas, other versions of an API, lists of models, WebSockets."""
    assert came["versions"] == [SAID] * 3
    assert came["listed"] == ["renamed", "renamed", "models/renamed", "NotFoundError"]
    assert came["realtime"] == "session.created"

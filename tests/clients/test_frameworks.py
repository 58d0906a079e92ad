"""What people build with SDKs, through the gateway: calls, streams, and tools that really run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import PROGRAMS
from tests.clients.support import ENVIRONMENT
from tests.clients.world import KEY, world

MODELS = """
providers:
  one: {protocol: openai, base_url: "http://<openai>/v1", keys: [key-of-openai], models: [small]}
  two: {protocol: anthropic, base_url: "http://<anthropic>", keys: [key-of-anthropic], models: [small]}
"""
TO_CHAT = """
providers:
  one: {protocol: openai, base_url: "http://<openai>/v1", keys: [key-of-openai], translate: [messages, responses]}
"""
TO_MESSAGES = """
providers:
  two: {protocol: anthropic, base_url: "http://<anthropic>", keys: [key-of-anthropic], translate: [chat]}
"""
SAID = "You said: hello there"
RAIN = "The tool said: rain in demo"
EXPECTED: dict[str, Any] = {
    "langchain": [SAID, 4, SAID, "weather"],
    "agents": [RAIN] * 4,
    "pydantic-ai": [RAIN, 2] * 2,
    "llm": [SAID] * 2,
}


@pytest.mark.parametrize("name", EXPECTED)
def test_works_through_the_gateway(tmp_path: Path, name: str) -> None:
    """It gets what the provider said, whole and streamed, and its tools run."""
    run(tmp_path, name, MODELS)


@pytest.mark.parametrize("name", ["agents", "pydantic-ai"])
def test_works_with_models_behind_chat_completions_only(tmp_path: Path, name: str) -> None:
    """Requests of Responses and of Messages are translated, and so are the calls of tools."""
    run(tmp_path, name, TO_CHAT)


@pytest.mark.parametrize("name", ["langchain", "pydantic-ai", "llm"])
def test_works_with_models_behind_messages_only(tmp_path: Path, name: str) -> None:
    """Requests of chat/completions are translated, and so are the calls of tools."""
    run(tmp_path, name, TO_MESSAGES)


def run(tmp_path: Path, name: str, models: str) -> None:
    """Run one of the frameworks before providers."""
    home = tmp_path / "home"
    home.mkdir()
    with world(tmp_path, models, "openai", "anthropic") as made:
        command = [str(ENVIRONMENT / "bin" / "python"), str(PROGRAMS / "frameworks.py"), name, made.url, str(home), KEY]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
        assert ended.returncode == 0, ended.stderr[-2000:]
        assert json.loads(ended.stdout) == EXPECTED[name]
        keys = {received.key for provider in made.providers.values() for received in provider.received}
        assert keys <= {"key-of-openai", "key-of-anthropic"}

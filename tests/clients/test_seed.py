"""The document that people bring along: it loads as it is, its rule decides, and prompts that are too long move on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.clients.calls import Call
from tests.clients.support import Sdks
from tests.clients.world import KEY, World, world
from tests.support import until

SEED = """
{"modelRouting": {"default": "fast",
   "profiles": {"fast": {"maxContextTokens": 32000, "preferProviders": ["anthropic"]},
                "heavy": {"maxContextTokens": 200000, "preferProviders": ["anthropic"]}},
   "rules": [{"when": {"header": {"name": "X-Route-Profile", "equals": "heavy"}}, "use": "heavy"}]},
 "gateway": {"bind": "127.0.0.1:18789", "requestTimeoutMs": 120000}}
"""


def with_provider(seed: str, overflow: str = "") -> str:
    """The document, whose provider is on this machine."""
    document = json.loads(seed)
    document["providers"] = {"anthropic": {"base_url": "http://<anthropic>", "keys": ["a"], "models": ["claude"]}}
    if overflow:
        document["modelRouting"]["profiles"]["fast"]["overflow"] = overflow
    return json.dumps(document)


def asked(size: int) -> Call:
    """A prompt of so many tokens, or about."""
    message = {"role": "user", "content": "abc " * size}
    return Call("anthropic", "messages.create", {"model": "claude", "max_tokens": 100, "messages": [message]})


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, with_provider(SEED), "anthropic") as made:
        yield made


def test_loads_as_it_is(tmp_path: Path) -> None:
    """The document itself, with a provider that is only named, serves."""
    with world(tmp_path, SEED) as made:
        answer = httpx2.get(f"{made.url}/v1/models", headers={"x-api-key": KEY}, trust_env=False)
        assert answer.status_code == 200


def test_chooses_the_profile_of_the_header(gateway: World) -> None:
    """Without the header the default decides, with it the rule: the response and the access log say so."""
    for headers, profile in (({}, "fast"), ({"x-route-profile": "heavy"}, "heavy")):
        answer = httpx2.post(
            f"{gateway.url}/v1/messages",
            headers={"x-api-key": KEY, **headers},
            json={"model": "claude", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]},
            trust_env=False,
        )
        assert answer.headers["x-gateway-profile"] == profile
    until(lambda: gateway.gateway.access_log.count("\n") == 2, 10, "two requests are not in the access log")
    first, second = (json.loads(line)["model"] for line in gateway.gateway.access_log.splitlines())
    assert (first["rule"], first["profile"]) == (None, "fast")
    assert (second["rule"], second["profile"]) == (0, "heavy")


def test_explains_which_rule_decides(gateway: World) -> None:
    """`gateway explain` names the rule and the profile, of a request that is only described."""
    request = ["-H", f"x-api-key: {KEY}", "-H", "x-route-profile: heavy", "--body", '{"model": "claude"}']
    command = ["explain", "POST", f"{gateway.url}/v1/messages", *request, "--config", str(gateway.gateway.directory)]
    ended = subprocess.run(
        [sys.executable, "-m", "gateway.cli", *command], capture_output=True, text=True, check=True, timeout=30
    )
    assert "model_rule: 0" in ended.stdout
    assert "profile: heavy" in ended.stdout


def test_refuses_what_does_not_fit(gateway: World, python_sdks: Sdks) -> None:
    """45,000 tokens are too many for `fast`: a 400 that the SDK raises as its own; `heavy` takes them."""
    refused = python_sdks.make(asked(45_000), gateway.url, key=KEY)
    assert refused.error is not None
    assert (refused.error["type"], refused.error["status"]) == ("BadRequestError", 400)
    taken = python_sdks.make(asked(45_000), gateway.url, key=KEY, headers={"X-Route-Profile": "heavy"})
    assert taken.error is None


def test_moves_what_does_not_fit_to_the_profile_for_it(tmp_path: Path, python_sdks: Sdks) -> None:
    """With `overflow: heavy`, the 31,000 tokens that leave no room for the answer go there."""
    with world(tmp_path, with_provider(SEED, "heavy"), "anthropic") as made:
        call = asked(31_000)
        more = Call(call.sdk, call.method, {**call.arguments, "max_tokens": 4000})
        for _ in range(2):
            outcome = python_sdks.make(more, made.url, key=KEY)
            assert outcome.error is None, outcome.error
        answer = httpx2.post(
            f"{made.url}/v1/messages", headers={"x-api-key": KEY}, json=more.arguments, trust_env=False
        )
        assert answer.headers["x-gateway-profile"] == "heavy"

"""The SDKs through the gateway: the same objects as from the provider itself, and the same bytes to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from tests.clients.calls import STREAMED, WHOLE, Call, cases
from tests.clients.support import Outcome, Sdks, comparable
from tests.clients.world import KEY, World, world

MODELS = """
providers:
  one: {protocol: openai, base_url: http://<openai>, keys: [key-of-openai]}
  two: {protocol: anthropic, base_url: http://<anthropic>, keys: [key-of-anthropic]}
  three: {protocol: gemini, base_url: http://<gemini>, keys: [key-of-gemini]}
aliases:
  renamed: {one: small, two: small, three: small}
"""


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A gateway before one provider of each family."""
    with world(tmp_path_factory.mktemp("world"), MODELS, "openai", "anthropic", "gemini") as made:
        yield made


def both(world: World, sdks: Sdks, call: Call) -> tuple[Outcome, Outcome]:
    """What comes of a call through the gateway, and to the provider itself."""
    return sdks.make(call, world.url, key=KEY), sdks.make(call, world.direct(call.sdk))


@pytest.mark.parametrize(("language", "name"), cases(WHOLE))
def test_answers_as_the_provider_does(passed: World, languages: Mapping[str, Sdks], language: str, name: str) -> None:
    """What the SDK makes of an answer is what it makes of the provider's own; the body came as the SDK wrote it."""
    call = WHOLE[name]
    through, direct = both(passed, languages[language], call)
    assert comparable(through.only) == comparable(direct.only)
    provider = passed.providers[call.sdk]
    assert provider.received[-2].body == provider.received[-1].body
    assert provider.received[-2].key == f"key-of-{call.sdk}"


@pytest.mark.parametrize(("language", "name"), cases(STREAMED))
def test_streams_as_the_provider_does(passed: World, languages: Mapping[str, Sdks], language: str, name: str) -> None:
    """What the SDK makes of a stream is what it makes of the provider's own, event by event."""
    call = STREAMED[name]
    through, direct = both(passed, languages[language], call)
    assert comparable(through.whole) == comparable(direct.whole)
    assert passed.providers[call.sdk].received[-2].key == f"key-of-{call.sdk}"


@pytest.mark.parametrize("language", ["python", "node"])
@pytest.mark.parametrize("name", ["chat", "messages", "responses"])
def test_calls_a_model_by_its_alias(passed: World, languages: Mapping[str, Sdks], language: str, name: str) -> None:
    """An alias becomes the provider's name of the model, and nothing else of the body changes."""
    call = WHOLE[name]
    aliased = replace(call, arguments={**call.arguments, "model": "renamed"})
    through = languages[language].make(aliased, passed.url, key=KEY)
    languages[language].make(call, passed.direct(call.sdk))
    assert through.error is None
    received = passed.providers[call.sdk].received
    assert received[-2].body == received[-1].body


@pytest.mark.parametrize("language", ["python", "node"])
@pytest.mark.parametrize("name", ["chat", "messages", "responses", "gemini"])
def test_raises_what_the_sdk_raises_for_a_wrong_key(
    passed: World, languages: Mapping[str, Sdks], language: str, name: str
) -> None:
    """An unknown key is an AuthenticationError with a message, as it is at the provider."""
    call = WHOLE[name]
    if call.only not in {"", language}:
        pytest.skip("there is no such SDK")
    refused = languages[language].make(call, passed.url, key="wrong")
    assert refused.error is not None
    assert refused.error["status"] == 401
    assert refused.error["type"] == ("ClientError" if call.sdk == "gemini" else "AuthenticationError")
    assert refused.error["body"], refused.error


@pytest.mark.parametrize("language", ["python", "node"])
@pytest.mark.parametrize("sdk", ["openai", "anthropic", "gemini"])
def test_lists_models(passed: World, languages: Mapping[str, Sdks], language: str, sdk: str) -> None:
    """The list has what the consumer may use, in the shape of the family that asks."""
    if sdk == "gemini" and language == "node":
        pytest.skip("there is no such SDK")
    listed = languages[language].make(Call(sdk, "models.list", {}), passed.url, key=KEY)
    assert "renamed" in str(listed.whole), listed


def test_passes_what_the_provider_refuses(passed: World, python_sdks: Sdks) -> None:
    """An error of the provider that no other provider would answer better reaches the SDK as it is."""
    for name in ("chat", "messages", "gemini"):
        call = WHOLE[name]
        failing = replace(call, arguments={**call.arguments, "model": "small+fail-422"})
        through, direct = both(passed, python_sdks, failing)
        assert through.error is not None
        assert direct.error is not None
        assert (through.error["type"], through.error["status"]) == (direct.error["type"], 422)

"""Providers that fail as `llmock` makes them fail: what the SDKs see of it, and what `llmock` says of the gateway."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.clients.calls import Call, chat, messages, responses
from tests.clients.support import ENVIRONMENT, Outcome, Sdks
from tests.clients.world import KEY, World, world
from tests.support import free_port, until

FIELDS = "models: [m], timeout: {response_header: 2s, idle: 1s}"
MODELS = f"""
providers:
  one: {{protocol: openai, base_url: "http://<first>/v1", keys: [key-of-one], {FIELDS}}}
  two: {{protocol: openai, base_url: "http://<second>/v1", keys: [key-of-two], {FIELDS}}}
  three: {{protocol: anthropic, base_url: "http://<first>/anthropic", keys: [key-of-three], {FIELDS}}}
  four: {{protocol: anthropic, base_url: "http://<second>/anthropic", keys: [key-of-four], {FIELDS}}}
modelRouting: {{default: fast, profiles: {{fast: {{preferProviders: [one, two, three, four]}}}}}}
"""
STREAMS = {
    "chat": chat(model="m", stream=True),
    "responses": responses(model="m", stream=True),
    "messages": messages(model="m", stream=True),
}
ENDS = {"chat": "finish_reason", "responses": "response.completed", "messages": "message_stop"}


class Llmock:
    """A fault injector that runs."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.address = f"127.0.0.1:{port}"

    def answers(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/health", trust_env=False).status_code == 200
        except httpx2.HTTPError:
            return False

    def script(self, *behaviors: Mapping[str, Any]) -> None:
        """Say what the next requests meet with, and forget all before."""
        httpx2.post(f"{self.url}/_llmock/reset", trust_env=False).raise_for_status()
        if not behaviors:
            return
        answer = httpx2.post(f"{self.url}/_llmock/scenario", json={"behaviors": behaviors}, trust_env=False)
        assert answer.status_code < 300, answer.text

    def requests(self) -> list[Any]:
        answer = httpx2.get(f"{self.url}/_llmock/requests", trust_env=False).json()
        return list(answer["requests"] if isinstance(answer, dict) else answer)

    def report(self) -> str:
        """What it has against its client; empty where that is nothing, warnings included."""
        verdict = httpx2.get(f"{self.url}/_llmock/verdict", trust_env=False).json()
        return "\n".join(str(finding) for finding in verdict["findings"])


@pytest.fixture(scope="module")
def llmock() -> Iterator[Llmock]:
    """One for all tests."""
    port = free_port()
    command = [str(ENVIRONMENT / "bin" / "llmock"), "serve", "--port", str(port), "--log-level", "critical"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        made = Llmock(port)
        try:
            until(made.answers, 20, "llmock is not up")
            yield made
        finally:
            process.terminate()


@pytest.fixture
def before(llmock: Llmock, tmp_path: Path) -> Iterator[World]:
    """A gateway whose providers, two of each family, are all the fault injector."""
    models = MODELS.replace("<first>", llmock.address).replace("<second>", llmock.address)
    with world(tmp_path, models) as made:
        yield made


def complete(name: str, outcome: Outcome) -> bool:
    """Whether a stream is one answer from its beginning to its end."""
    said = [str(each) for each in outcome.objects]
    starts = {"chat": "'role': 'assistant'", "responses": "'response.created'", "messages": "'message_start'"}
    return sum(starts[name] in each for each in said) == 1 and any(_ends(name, each) for each in outcome.objects)


def _ends(name: str, each: Mapping[str, Any]) -> bool:
    if name == "chat":
        return any(choice["finish_reason"] for choice in each["choices"])
    return str(each["type"]) == ENDS[name]


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("status", [408, 429, 500, 503, 529])
def test_switches_after_a_failure(before: World, llmock: Llmock, python_sdks: Sdks, name: str, status: int) -> None:
    """The client sees one whole stream of the second provider, and nothing of the first."""
    llmock.script({"type": "fail", "status": status, "retry_after": 0})  # it takes both providers for one
    outcome = python_sdks.make(STREAMS[name], before.url, key=KEY)
    assert outcome.error is None, outcome.error
    assert complete(name, outcome)
    assert [each["status"] for each in llmock.requests()] == [status, 200]
    assert llmock.report() == ""


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("kind", ["disconnect", "truncate", "stall"])
def test_switches_before_the_first_content(
    before: World, llmock: Llmock, python_sdks: Sdks, name: str, kind: str
) -> None:
    """A stream that breaks before it has content is replaced, unseen."""
    llmock.script({"type": "stream_fault", "kind": kind, "after_chunks": 1, "stall_seconds": 5})
    outcome = python_sdks.make(STREAMS[name], before.url, key=KEY)
    assert outcome.error is None, outcome.error
    assert complete(name, outcome)
    assert len(llmock.requests()) == 2
    assert llmock.report() == ""


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("kind", ["disconnect", "truncate", "stall"])
@pytest.mark.parametrize("language", ["python", "node"])
def test_says_that_a_stream_is_cut_off(
    before: World, llmock: Llmock, languages: Mapping[str, Sdks], name: str, kind: str, language: str
) -> None:
    """After content a broken stream raises in the SDK, whatever broke it, and a repetition is whole."""
    llmock.script({"type": "stream_fault", "kind": kind, "after_chunks": 6, "stall_seconds": 5})
    outcome = languages[language].make(STREAMS[name], before.url, key=KEY)
    assert outcome.objects
    broken = outcome.error is not None or "response.failed" in str(outcome.objects[-1])
    assert broken, outcome.objects[-1]
    assert not complete(name, outcome)
    again = languages[language].make(STREAMS[name], before.url, key=KEY)
    assert again.error is None
    assert complete(name, again)
    assert llmock.report() == ""


def test_waits_as_long_as_a_provider_says(before: World, llmock: Llmock, python_sdks: Sdks) -> None:
    """After a 429 with Retry-After the provider is left alone for so long: the next requests go to the other."""
    llmock.script({"type": "fail", "status": 429, "retry_after": 30})
    for _ in range(3):
        assert python_sdks.make(chat(model="m"), before.url, key=KEY).error is None
    assert [each["status"] for each in llmock.requests()] == [429, 200, 200, 200]


@pytest.mark.parametrize(
    ("call", "error"),
    [(chat(model="m"), "InternalServerError"), (messages(model="m"), "InternalServerError")],
    ids=["chat", "messages"],
)
def test_ends_where_all_are_down(
    before: World, llmock: Llmock, languages: Mapping[str, Sdks], call: Call, error: str
) -> None:
    """With every provider down the client gets an error of its family at once, and the SDK does not try again."""
    llmock.script({"type": "fail", "status": 503, "times": None})
    for sdks in languages.values():
        outcome = sdks.make(call, before.url, key=KEY, retries=2)
        assert outcome.error is not None
        assert outcome.error["type"] in {error, "APIStatusError", "OverloadedError", "ServiceUnavailableError"}
        assert outcome.error["status"] in {502, 503, 529}
    lines = [
        line for line in before.gateway.access_log.splitlines() if call.arguments["model"] == "m" and "503" in line
    ]
    assert len(lines) <= 2


def test_passes_a_provider_that_refuses_connections(llmock: Llmock, python_sdks: Sdks, tmp_path: Path) -> None:
    """A provider where nothing listens is passed over."""
    models = MODELS.replace("<first>", f"127.0.0.1:{free_port()}").replace("<second>", llmock.address)
    llmock.script()
    with world(tmp_path, models) as made:
        for name, call in STREAMS.items():
            outcome = python_sdks.make(call, made.url, key=KEY)
            assert outcome.error is None, outcome.error
            assert complete(name, outcome)
    assert llmock.report() == ""


def test_does_not_repeat_what_is_wrong(before: World, llmock: Llmock, python_sdks: Sdks) -> None:
    """A 400 reaches the client as it is, after one attempt."""
    llmock.script({"type": "fail", "status": 400, "message": "that is wrong"})
    outcome = python_sdks.make(chat(model="m"), before.url, key=KEY)
    assert outcome.error is not None
    assert (outcome.error["type"], outcome.error["status"]) == ("BadRequestError", 400)
    assert "that is wrong" in outcome.error["message"]
    assert llmock.report() == ""


def test_leaves_out_a_key_that_is_refused(before: World, llmock: Llmock, python_sdks: Sdks) -> None:
    """After a 401 the other provider answers, and the key is not tried again."""
    llmock.script({"type": "fail", "status": 401})
    for _ in range(2):
        assert python_sdks.make(chat(model="m"), before.url, key=KEY).error is None
    assert [each["status"] for each in llmock.requests()] == [401, 200, 200]


def test_takes_the_other_profile_where_the_prompt_is_too_long(
    llmock: Llmock, python_sdks: Sdks, tmp_path: Path
) -> None:
    """The provider's own error about its context leads to the profile that is named for it, once."""
    models = f"""
providers:
  one: {{protocol: openai, base_url: "{llmock.url}/v1", keys: [a], models: [m]}}
  large: {{protocol: openai, base_url: "{llmock.url}/v1", keys: [b], models: [m]}}
modelRouting:
  default: fast
  profiles:
    fast: {{providers: [one], overflow: long}}
    long: {{providers: [large]}}
"""
    llmock.script(
        {"type": "fail", "status": 400, "code": "context_length_exceeded", "message": "maximum context length"}
    )
    with world(tmp_path, models) as made:
        outcome = python_sdks.make(chat(model="m"), made.url, key=KEY)
    assert outcome.error is None, outcome.error
    assert [each["status"] for each in llmock.requests()] == [400, 200]

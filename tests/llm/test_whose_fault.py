"""Errors of providers, by whose fault they are: what one request has done must not be held against all others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.llm.support import PROVIDERS, Gateway, answering, chat, gateway
from tests.support import Script, scripted_backend

PATH = "/v1/chat/completions"
FINE = b'{"choices":[{"message":{"content":"fine"},"finish_reason":"stop"}]}'
RATE = "Rate limit reached for gpt in organization org-1 on tokens per min (TPM): Limit 10000, Used 9000, Requested %d."
TOO_LARGE = "Request too large for gpt on tokens per min (TPM): Limit 10000, Requested 12000."
NO_QUOTA = {"message": "You exceeded your current quota.", "type": "insufficient_quota", "code": "insufficient_quota"}
WALL = b"<!DOCTYPE html><title>Attention Required!</title>"


def failing(status: bytes, error: dict[str, Any]) -> Script:
    return answering(json.dumps({"error": error}).encode(), status=status)


async def paused(made: Gateway, model: str = "small") -> list[str]:
    """Why providers are left out of the next request."""
    return [left.reason for left in (await made.ask(PATH, chat(model))).noted.left_out]


@pytest.mark.parametrize(
    "error",
    [
        {"message": "no", "code": "content_policy_violation"},
        {"message": "Your input was flagged for violence by our moderation system.", "code": 403},
        {"message": "Content violates usage guidelines."},
    ],
)
async def test_refused_content_is_the_requests_fault(error: dict[str, Any]) -> None:
    """The client gets what the provider says, no other provider is called, and the key serves the next request."""
    async with (
        scripted_backend(failing(b"403 Forbidden", error)) as one,
        scripted_backend(answering(FINE)) as two,
        gateway(PROVIDERS % (one, two)) as made,
    ):
        answered = await made.ask(PATH, chat())
        assert (answered.status, answered.json["error"]) == (403, error)
        assert answered.noted.tries == 1
        assert await paused(made) == []


@pytest.mark.parametrize(
    "message", ["Your API key violates our usage policies.", "Your account was flagged.", "Permission denied.", ""]
)
async def test_a_key_that_may_not_is_left_out(message: str) -> None:
    """Whatever else a 403 says is about who asks: another provider answers."""
    async with (
        scripted_backend(failing(b"403 Forbidden", {"message": message})) as one,
        scripted_backend(answering(FINE)) as two,
        gateway(PROVIDERS % (one, two)) as made,
    ):
        assert (await made.ask(PATH, chat())).status == 200
        assert await paused(made) == ["key"]


@pytest.mark.parametrize(
    "message",
    [
        "You do not have permission to access the File abc123 or it may not exist.",
        "You do not have access to this vector store.",
        "CachedContent not found (or permission denied); it may not exist",
    ],
)
async def test_a_file_of_others_is_the_requests_fault(message: str) -> None:
    """Another key may be that of its owner; no key is left out for what one request has named."""
    error = {"message": message, "code": 403, "status": "PERMISSION_DENIED"}
    async with (
        scripted_backend(failing(b"403 Forbidden", error)) as one,
        scripted_backend(failing(b"403 Forbidden", error)) as two,
        gateway(PROVIDERS % (one, two)) as made,
    ):
        answered = await made.ask(PATH, chat())
        assert (answered.status, answered.json["error"], answered.noted.tries) == (403, error, 2)
        assert await paused(made) == []


async def test_a_page_with_a_403_says_nothing_of_the_key() -> None:
    """It is of what guards the provider, and may be for the words of one prompt: another provider answers this time."""
    wall = answering(WALL, b"Content-Type: text/html\r\n", b"403 Forbidden")
    async with (
        scripted_backend(wall) as one,
        scripted_backend(answering(FINE)) as two,
        gateway(PROVIDERS % (one, two)) as made,
    ):
        assert (await made.ask(PATH, chat())).status == 200
        assert await paused(made) == []


@pytest.mark.parametrize("message", [TOO_LARGE, RATE % 12000])
async def test_a_request_that_is_larger_than_a_limit_pauses_no_key(message: str) -> None:
    """Another key may take it; where none does, it is not sent again, and the limit is open for others."""
    error = {"message": message, "type": "tokens", "code": "rate_limit_exceeded"}
    async with (
        scripted_backend(failing(b"429 Too Many Requests", error)) as one,
        scripted_backend(failing(b"429 Too Many Requests", error)) as two,
        gateway(PROVIDERS % (one, two)) as made,
    ):
        answered = await made.ask(PATH, chat())
        assert (answered.status, answered.noted.tries) == (429, 2)
        assert await paused(made) == []


async def test_a_limit_that_is_met_pauses_the_model_only() -> None:
    """The same key serves other models."""
    error = {"message": RATE % 2000, "type": "tokens", "code": "rate_limit_exceeded"}
    async with (
        scripted_backend(failing(b"429 Too Many Requests", error)) as one,
        scripted_backend(answering(FINE)) as two,
        gateway(PROVIDERS % (one, two)) as made,
    ):
        assert (await made.ask(PATH, chat())).status == 200
        assert (await paused(made), await paused(made, "other")) == (["cooldown"], [])


async def test_a_key_without_quota_is_paused_for_all_models() -> None:
    """No model of it would answer."""
    async with (
        scripted_backend(failing(b"429 Too Many Requests", NO_QUOTA)) as one,
        scripted_backend(answering(FINE)) as two,
        gateway(PROVIDERS % (one, two)) as made,
    ):
        assert (await made.ask(PATH, chat())).status == 200
        assert await paused(made, "other") == ["cooldown"]


GEMINI = "providers: {one: {protocol: gemini, base_url: 'http://127.0.0.1:%d'}}"
INFO = [{"@type": "type.googleapis.com/google.rpc.Help"}, {"@type": "...RetryInfo", "retryDelay": "34.5s"}]


async def test_geminis_delay_is_in_the_body() -> None:
    """The pause is as long as its `RetryInfo` says, where no header says it."""
    error = {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED", "details": INFO}
    async with scripted_backend(failing(b"429 Too Many Requests", error)) as port, gateway(GEMINI % port) as made:
        path = "/v1beta/models/gemini-x:generateContent"
        said = {"contents": [{"parts": [{"text": "hello"}]}]}
        assert (await made.ask(path, said)).status == 429
        again = await made.ask(path, said)
    assert 34 <= int(again.headers["retry-after"]) <= 43


@pytest.mark.parametrize("details", [None, "x", [1], [{"retryDelay": 5}], [{"retryDelay": "1e9s"}], [{}] * 100])
async def test_details_that_say_nothing_are_none(details: object) -> None:
    """Whatever stands there, the usual pause holds."""
    error = {"code": 429, "message": "quota", "details": details}
    async with scripted_backend(failing(b"429 Too Many Requests", error)) as port, gateway(GEMINI % port) as made:
        path = "/v1beta/models/gemini-x:generateContent"
        answered = await made.ask(path, {"contents": [{"parts": [{"text": "hello"}]}]})
    assert answered.status == 429

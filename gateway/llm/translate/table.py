"""Which translations there are."""

from __future__ import annotations

from gateway.llm.translate import chat_request, errors, messages_request, responses_request
from gateway.llm.translate.translation import Translation

_OPENAI_HEADERS = ("openai-", "x-stainless-", "x-codex-")
_ANTHROPIC_HEADERS = ("anthropic-", "x-stainless-", "x-claude-code-")

_TRANSLATIONS = (
    Translation(
        from_api="anthropic.messages",
        to_api="openai.chat",
        to_path="/v1/chat/completions",
        headers=(),
        hidden=_ANTHROPIC_HEADERS,
        request=messages_request.translate,
        error=errors.to_anthropic,
    ),
    Translation(
        from_api="openai.responses",
        to_api="openai.chat",
        to_path="/v1/chat/completions",
        headers=(),
        hidden=_OPENAI_HEADERS,
        request=responses_request.translate,
        error=errors.as_it_is,
    ),
    Translation(
        from_api="openai.chat",
        to_api="anthropic.messages",
        to_path="/v1/messages",
        headers=(("anthropic-version", "2023-06-01"),),
        hidden=(*_OPENAI_HEADERS, "anthropic-version"),
        request=chat_request.translate,
        error=errors.to_openai,
    ),
)
_PROTOCOLS = {"openai.chat": "openai", "anthropic.messages": "anthropic"}
_TABLE = {(one.from_api, _PROTOCOLS[one.to_api]): one for one in _TRANSLATIONS}


def translation(from_api: str, provider_protocol: str) -> Translation | None:
    """How requests of an API are served by a provider of a protocol that does not have that API; None: not at all.

    Anthropic's count_tokens has no equivalent; neither has Gemini, whose providers have an API of OpenAI's shape, too.
    """
    return _TABLE.get((from_api, provider_protocol))

"""The answers by path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.demo_models import chat, gemini, messages, others, responses
from gateway.demo_models.asked import Asked, Reply, reply
from gateway.demo_models.faults import Faults
from gateway.demo_models.frames import Frame


@dataclass(frozen=True, slots=True)
class Answer:
    """A generated answer, in one piece and as events."""

    asked: Asked
    reply: Reply
    whole: Mapping[str, Any]
    events: Iterable[Frame]


Document = dict[str, Any]
Answered = Answer | Mapping[str, Any] | bytes
ASKED: Mapping[str, Callable[[Document, str, Faults], Answered]] = {
    "/v1/chat/completions": lambda document, model, wanted: _generated(
        chat.asked(document, model, wanted), chat.whole, chat.events
    ),
    "/v1/completions": lambda document, model, wanted: _generated(
        chat.completion_asked(document, model, wanted), chat.completion, chat.completion_events
    ),
    "/v1/responses": lambda document, model, wanted: _generated(
        responses.asked(document, model, wanted),
        lambda asked, given: responses.whole(asked, given, document),
        lambda asked, given: responses.events(asked, given, document),
    ),
    "/v1/messages": lambda document, model, wanted: _generated(
        messages.asked(document, model, wanted), messages.whole, messages.events
    ),
    "/v1/messages/count_tokens": lambda document, model, wanted: {
        "input_tokens": reply(messages.asked(document, model, wanted)).input
    },
    "/v1/embeddings": lambda document, model, _: others.embeddings(document, model),
    "/v1/moderations": lambda document, model, _: others.moderation(document, model),
    "/v1/audio/speech": lambda document, *_: b"ID3" + str(document.get("input")).encode("utf-8", "replace"),
}


def answer(path: str, document: Document, model: str, wanted: Faults, method: str, size: int) -> Answered | None:
    """The answer; None: unknown path. `method` is that of a Gemini path, `size` the body's."""
    if method:
        return _gemini(document, model, wanted, method)
    if path.startswith("/v1/images/"):
        return others.image()
    if path in {"/v1/audio/transcriptions", "/v1/audio/translations"}:
        return {"text": f"{size} bytes were heard"}
    return ASKED[path](document, model, wanted) if path in ASKED else None


def _generated(
    asked: Asked,
    whole: Callable[[Asked, Reply], Mapping[str, Any]],
    events: Callable[[Asked, Reply], Iterator[Frame]],
) -> Answer:
    given = reply(asked)
    return Answer(asked, given, whole(asked, given), events(asked, given))


def _gemini(document: Document, model: str, wanted: Faults, method: str) -> Answered | None:
    stream = method == "streamGenerateContent"
    if stream or method == "generateContent":
        return _generated(gemini.asked(document, model, wanted, stream=stream), gemini.whole, gemini.events)
    if method == "countTokens":
        asked = document.get("generateContentRequest") or document
        return {"totalTokens": reply(gemini.asked(asked, model, wanted, stream=False)).input}
    if method == "embedContent":
        return {"embedding": others.gemini_embedding(document)}
    if method == "batchEmbedContents":
        return {"embeddings": [others.gemini_embedding(each) for each in document.get("requests") or ()]}
    return None

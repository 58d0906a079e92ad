"""Answers other than text: embeddings, images, speech, moderation, and the lists of models."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.demo_models.asked import CREATED, tokens, words_of

MODELS = ("small", "large", "embed")
DIMENSIONS = 8
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def vector(text: str, dimensions: int) -> list[float]:
    """The same for the same text; its numbers stand exactly in 32 bits."""
    digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
    return [digest[index % len(digest)] / 256 for index in range(min(dimensions, 4096))]


def embeddings(document: Mapping[str, Any], model: str) -> dict[str, Any]:
    """OpenAI's."""
    given = document.get("input")
    texts = [given] if isinstance(given, str) else list(given or ())
    texts = [text if isinstance(text, str) else str(text) for text in texts]
    dimensions = document.get("dimensions") or DIMENSIONS
    vectors: list[Any] = [vector(text, dimensions) for text in texts]
    if document.get("encoding_format") == "base64":
        vectors = [base64.b64encode(struct.pack(f"<{len(each)}f", *each)).decode() for each in vectors]
    used = sum(map(tokens, texts))
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": each} for index, each in enumerate(vectors)],
        "model": model,
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }


def gemini_embedding(document: Mapping[str, Any]) -> dict[str, Any]:
    """That of one text."""
    return {"values": vector(words_of(document.get("content")), document.get("outputDimensionality") or DIMENSIONS)}


def image() -> dict[str, Any]:
    """One pixel, whatever was asked for."""
    used = {"input_tokens": 10, "output_tokens": 100, "total_tokens": 110}
    return {"created": CREATED, "data": [{"b64_json": base64.b64encode(PIXEL).decode()}], "usage": used}


def moderation(document: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Nothing is flagged but what contains "flag"."""
    flagged = "flag" in words_of(document.get("input"))
    result = {"flagged": flagged, "categories": {"violence": flagged}, "category_scores": {"violence": float(flagged)}}
    return {"id": "modr-demo", "model": model, "results": [result]}


def openai_models(names: Sequence[str]) -> dict[str, Any]:
    """The list in OpenAI's shape."""
    return {"object": "list", "data": [openai_model(name) for name in names]}


def openai_model(name: str) -> dict[str, Any]:
    """One of them."""
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "demo"}


def anthropic_models(names: Sequence[str]) -> dict[str, Any]:
    """The list in Anthropic's shape."""
    ends = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
    return {"data": [anthropic_model(name) for name in names], "has_more": False, **ends}


def anthropic_model(name: str) -> dict[str, Any]:
    """One of them."""
    return {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"}


def gemini_model(name: str) -> dict[str, Any]:
    """One in Gemini's shape."""
    methods = ["generateContent", "countTokens", "embedContent"]
    return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": methods}

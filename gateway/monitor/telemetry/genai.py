"""The attributes of requests to models: OpenTelemetry's conventions for generative AI, which are in development, and a
few of the gateway's own. All names stand in this one table, which docs/tracing.md has, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from gateway.http.model_record import ModelRecord

LONGEST: Final = 256  # characters of the name of a model
_OPERATIONS: Final = {
    "openai.chat": "chat",
    "openai.responses": "chat",
    "openai.completions": "text_completion",
    "openai.embeddings": "embeddings",
    "anthropic.messages": "chat",
    "gemini.generate": "generate_content",
    "gemini.embed": "embeddings",
}
_PROVIDERS: Final = {"gemini": "gcp.gemini"}

Value = str | int | float | bool


def _operation(record: ModelRecord) -> str:
    return _OPERATIONS.get(record.api) or record.api.partition(".")[2]


def _provider(record: ModelRecord) -> str | None:
    """Whose protocol the one speaks that was asked."""
    family = (record.translated or record.api).partition(".")[0]
    return _PROVIDERS.get(family, family) if record.provider else None


def _switches(record: ModelRecord) -> str | None:
    return ", ".join(f"{each.origin} -> {each.to} ({each.reason})" for each in record.switches) or None


GENAI: Final[Mapping[str, Callable[[ModelRecord], Value | None]]] = {
    "gen_ai.operation.name": _operation,
    "gen_ai.provider.name": _provider,
    "gen_ai.request.model": lambda record: record.asked[:LONGEST] or None,
    "gen_ai.response.model": lambda record: record.answered[:LONGEST] or None,
    "gen_ai.usage.input_tokens": lambda record: record.input_tokens or None,
    "gen_ai.usage.output_tokens": lambda record: record.output_tokens or None,
    "gen_ai.usage.cache_read.input_tokens": lambda record: record.cache_read_tokens or None,
    "gen_ai.usage.cache_creation.input_tokens": lambda record: record.cache_write_tokens or None,
    "gen_ai.usage.reasoning.output_tokens": lambda record: record.reasoning_tokens or None,
    "gateway.model_backend": lambda record: record.backend or None,
    "gateway.profile": lambda record: record.profile or None,
    "gateway.model_rule": lambda record: record.rule,
    "gateway.switches": _switches,
    "gateway.usage_estimated": lambda record: record.estimated or None,
    "gateway.cost_usd": lambda record: record.cost_micros / 1e6 if record.cost_micros else None,
    "gateway.first_token_seconds": lambda record: record.first_token_seconds,
    "gateway.prompt": lambda record: record.content.prompt if record.content is not None else None,
    "gateway.answer": lambda record: record.content.answer if record.content is not None else None,
}
"""Attributes of the server span of a request to a model. None: it has no such attribute."""

"""Counts of tokens as each API writes them. Of OpenAI's input counts, cached tokens are a part; of Anthropic's, not."""

from __future__ import annotations

from typing import Any


def as_messages(usage: object) -> dict[str, int]:
    """Usage of chat/completions as that of Messages."""
    counts = usage if isinstance(usage, dict) else {}
    details = _details(counts, "prompt_tokens_details")
    read = _count(details, "cached_tokens") or _count(counts, "prompt_cache_hit_tokens")
    written = _count(details, "cache_write_tokens")
    return {
        "input_tokens": max(0, _count(counts, "prompt_tokens") - read - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": _count(counts, "completion_tokens"),
    }


def as_responses(usage: object) -> dict[str, Any] | None:
    """Usage of chat/completions as that of Responses."""
    if not isinstance(usage, dict):
        return None
    taken, given = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    details = _details(usage, "prompt_tokens_details")
    cached = _count(details, "cached_tokens") or _count(usage, "prompt_cache_hit_tokens")
    reasoning = _count(_details(usage, "completion_tokens_details"), "reasoning_tokens")
    return {
        "input_tokens": taken,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": _count(details, "cache_write_tokens")},
        "output_tokens": given,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": taken + given,
    }


def as_chat(usage: dict[str, Any]) -> dict[str, Any]:
    """Usage of Messages as that of chat/completions."""
    read, written = _count(usage, "cache_read_input_tokens"), _count(usage, "cache_creation_input_tokens")
    taken, given = _count(usage, "input_tokens") + read + written, _count(usage, "output_tokens")
    thinking = _count(_details(usage, "output_tokens_details"), "thinking_tokens")
    return {
        "prompt_tokens": taken,
        "completion_tokens": given,
        "total_tokens": taken + given,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": thinking},
    }


def _details(counts: dict[str, Any], name: str) -> dict[str, Any]:
    value = counts.get(name)
    return value if isinstance(value, dict) else {}


def _count(counts: dict[str, Any], name: str) -> int:
    value = counts.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0

"""Decision and result of a request to a model, for the access log and `gateway last`.

Of texts that clients and providers choose there is the model's name, cut; nothing of prompts, answers or keys, but by
`content`.
"""

from __future__ import annotations

from typing import Any, Final

from gateway.http.model_record import ModelRecord

LONGEST: Final = 200  # characters of a name
MICRO: Final = 1e-6  # dollars


def summary(record: ModelRecord) -> dict[str, Any]:
    """The record as plain data: always rule, profile and candidates, and other members if they have a value."""
    said: dict[str, Any] = {
        "api": record.api,
        "asked": record.asked[:LONGEST],
        "stream": record.streamed,
        "rule": record.rule,
        "profile": record.profile,
        "candidates": record.candidates,
        "left_out": [{"provider": left.provider, "reason": left.reason} for left in record.left_out],
        "tries": record.tries,
        "switches": [{"from": each.origin, "to": each.to, "reason": each.reason} for each in record.switches],
        "revision": record.revision,
    }
    if record.provider:
        said["answered"], said["finished"] = record.answered[:LONGEST], record.finished
    if record.translated:
        said["translated"], said["dropped"] = record.translated, record.dropped
    if record.failure:
        said["failure"] = record.failure
    if record.reserved_tokens or record.reserved_micros:
        said |= {"reserved_tokens": record.reserved_tokens, "reserved_usd": _usd(record.reserved_micros)}
        said |= {"committed_tokens": record.committed_tokens, "committed_usd": _usd(record.committed_micros)}
    _add_taken(said, record)
    return said


def content(record: ModelRecord) -> dict[str, Any]:
    """Prompt and answer, or their hashes, as far as models.yaml asks for them: for logs, not for the admin port."""
    return {} if record.content is None else {"prompt": record.content.prompt, "answer": record.content.answer}


def logged(record: ModelRecord) -> dict[str, Any]:
    """All that the access log has of it."""
    said = summary(record)
    if record.content is not None:
        said |= content(record)
    return said


def _add_taken(said: dict[str, Any], record: ModelRecord) -> None:
    """Tokens, money and time."""
    if record.input_tokens or record.output_tokens:
        said["input_tokens"], said["output_tokens"] = record.input_tokens, record.output_tokens
        said["cache_read_tokens"], said["cache_write_tokens"] = record.cache_read_tokens, record.cache_write_tokens
        said["reasoning_tokens"] = record.reasoning_tokens
        said["estimated"] = record.estimated
        said["cost_usd"] = None if record.unpriced else _usd(record.cost_micros)
    if record.tool_calls:
        said["tool_calls"] = len(record.tool_calls)
    if record.first_token_seconds is not None:
        said["first_token"] = int(record.first_token_seconds * 1e6 + 0.5) / 1e6


def _usd(micros: int) -> float:
    return round(micros * MICRO, 6)

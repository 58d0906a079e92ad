"""What was decided about a request to a model, and what came of it, as the access log and `gateway last` have it.

Of texts that clients and providers choose there is the model's name, cut; nothing of prompts, answers or keys, but by
`content`.
"""

from __future__ import annotations

from typing import Any, Final

from gateway.http.model_record import ModelRecord

LONGEST: Final = 200  # characters of a name
MICRO: Final = 1e-6  # dollars


def summary(record: ModelRecord) -> dict[str, Any]:
    """As plain data: always which rule, profile and candidates, and all else where there is something to say."""
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
        said |= {"answered": record.answered[:LONGEST], "finished": record.finished}
    if record.translated:
        said |= {"translated": record.translated, "dropped": record.dropped}
    if record.failure:
        said["failure"] = record.failure
    if record.reserved_tokens or record.reserved_micros:
        said |= {"reserved_tokens": record.reserved_tokens, "reserved_usd": _usd(record.reserved_micros)}
        said |= {"committed_tokens": record.committed_tokens, "committed_usd": _usd(record.committed_micros)}
    return said | _taken(record)


def content(record: ModelRecord) -> dict[str, Any]:
    """Prompt and answer, or their hashes, as far as models.yaml asks for them: for logs, not for the admin port."""
    return {} if record.content is None else {"prompt": record.content.prompt, "answer": record.content.answer}


def _taken(record: ModelRecord) -> dict[str, Any]:
    """Tokens, money and time."""
    said: dict[str, Any] = {}
    if record.input_tokens or record.output_tokens:
        said |= {
            "input_tokens": record.input_tokens,
            "output_tokens": record.output_tokens,
            "cache_read_tokens": record.cache_read_tokens,
            "cache_write_tokens": record.cache_write_tokens,
            "reasoning_tokens": record.reasoning_tokens,
            "estimated": record.estimated,
            "cost_usd": None if record.unpriced else _usd(record.cost_micros),
        }
    if record.tool_calls:
        said["tool_calls"] = len(record.tool_calls)
    if record.first_token_seconds is not None:
        said["first_token"] = round(record.first_token_seconds, 6)
    return said


def _usd(micros: int) -> float:
    return round(micros * MICRO, 6)

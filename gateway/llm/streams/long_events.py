"""Events that are too long to be read: such as one with a picture, or one that repeats an answer with pictures."""

from __future__ import annotations

import re
from typing import Final

import orjson

from gateway.llm.apis import Family
from gateway.llm.splice import end_of_value
from gateway.llm.usage import Usage, of_anthropic, of_gemini, of_openai

MOST_KEPT: Final = 64 * 1024
"""Bytes of the end of such an event in which its usage is looked for: all protocols have it behind the content."""

_USAGE: Final = re.compile(rb'"usage"[ \t]*:[ \t]*(?=\{)')
_USAGE_OF_GEMINI: Final = re.compile(rb'"usageMetadata"[ \t]*:[ \t]*(?=\{)')


def usage_near_end(data: bytes, family: Family) -> Usage | None:
    """The last usage in the end of an event. Texts hide none: quotes are escaped in them."""
    at = -1
    for found in (_USAGE_OF_GEMINI if family == "gemini" else _USAGE).finditer(data):
        at = found.end()
    if at < 0:
        return None
    try:
        end = end_of_value(data, at)
        value = orjson.loads(data[at:end])
    except ValueError:
        return None
    if family == "gemini":
        return of_gemini(value)
    return of_anthropic(value) if family == "anthropic" else of_openai(value)

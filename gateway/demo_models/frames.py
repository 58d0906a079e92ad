"""The frames of a streaming answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Frame:
    """One event. `tokens` of output it delivers: 0 in an event that has no content; `last`: no content follows."""

    data: bytes
    tokens: int = 0
    last: bool = False


def data(document: Mapping[str, Any], tokens: int = 0, *, last: bool = False) -> Frame:
    """An event without a name."""
    return Frame(b"data: " + orjson.dumps(document) + b"\n\n", tokens, last)


def named(document: Mapping[str, Any], tokens: int = 0, *, last: bool = False) -> Frame:
    """An event that is named as its `type`."""
    name = str(document["type"]).encode()
    return Frame(b"event: " + name + b"\ndata: " + orjson.dumps(document) + b"\n\n", tokens, last)

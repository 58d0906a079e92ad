"""Which content coding a client wants (RFC 9110, 12.5.3)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE | re.ASCII)
_ALIASES = {"x-gzip": "gzip"}


@dataclass(frozen=True, slots=True)
class Choice:
    """The coding to use, None for none. `required`: the client takes nothing that is not encoded."""

    encoding: str | None
    required: bool = False


def choose(accept: str, offered: Sequence[str]) -> Choice:
    """The coding of `offered` (in order of preference) that a client with this Accept-Encoding prefers.

    Between codings of the same weight our order decides. No coding is chosen that weighs less than `identity`.
    """
    # The weight of each coding that is named; 0 is a refusal, as is what cannot be read.
    weights: dict[str, float] = {}
    for element in accept.lower().split(","):
        name, *parameters = (part.strip() for part in element.split(";"))
        if name:
            weights[_ALIASES.get(name, name)] = _weight(parameters)
    others = weights.get("*", 0.0)
    plain = weights.get("identity", 1.0 if others or "*" not in weights else 0.0)
    weighted = [(weights.get(encoding, others), encoding) for encoding in offered]
    weight, encoding = max(weighted, key=lambda pair: pair[0], default=(0.0, ""))
    if not weight or ("identity" in weights and weight < plain):
        return Choice(None)
    return Choice(encoding, required=not plain)


def _weight(parameters: Sequence[str]) -> float:
    if not parameters:
        return 1.0
    match = _WEIGHT.fullmatch(parameters[0].replace(" ", ""))
    return float(match[1]) if match else 0.0

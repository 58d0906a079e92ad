"""Values that several parts of models.yaml share: names, patterns, money and windows of time."""

import re
from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from gateway.config.values.kinds import Kind, SomeOf, TextLike, as_list, refuse
from gateway.config.values.quantities import DURATION_PATTERN, parse_duration

Name = Annotated[
    str,
    TextLike(
        "name",
        "[A-Za-z0-9][A-Za-z0-9_-]{0,62}",
        "such a name is letters, digits, hyphens and underscores, at most 63",
    ),
]
"""The name of a provider, profile, budget or guardrail: it is used in labels of metrics and in headers."""

ModelName = Annotated[
    str,
    TextLike(
        "name of a model",
        r"[!-~]{1,200}",
        "the name of a model is 1 to 200 visible ASCII characters, without spaces",
    ),
]


def _by_provider(value: object) -> object:
    if isinstance(value, str):
        provider, slash, model = value.partition("/")
        message = "expected the name of the model for each provider"
        raise refuse(message, f"; write {{{provider}: {model}}}" if slash else f"; write {{PROVIDER: {value}}}")
    return value


NamesByProvider = Annotated[dict[Name, ModelName], BeforeValidator(_by_provider)]
"""The name of a model at each provider."""

ModelPattern = Annotated[
    str,
    TextLike(
        "name of a model, or a pattern of names",
        r"[!-~]{1,200}",
        "the name of a model is 1 to 200 visible ASCII characters, without spaces; * stands for any text",
    ),
]
ModelPatterns = Annotated[
    SomeOf[ModelPattern],
    Kind("pattern, or list of them"),
    BeforeValidator(as_list, json_schema_input_type=str | SomeOf[ModelPattern]),
]
Tokens = Annotated[int, Field(ge=1, le=10**15)]

MICRO: Final = 1_000_000
_MOST_USD: Final = 10**9
_USD = re.compile(r"[0-9]{1,10}(\.[0-9]{1,6})?", re.ASCII)


def parse_usd(value: object) -> int:
    """Micro-dollars, of `"50"`, `"0.25"`, `50` or `0.25`."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = format(Decimal(repr(value)), "f")
        value = value.rstrip("0").rstrip(".") if "." in value else value
    if not isinstance(value, str) or _USD.fullmatch(value) is None:
        raise refuse('expected dollars such as "50" or 0.25, with at most six digits after the point')
    micro = int(Decimal(value) * MICRO)
    if not 1 <= micro <= _MOST_USD * MICRO:
        raise refuse("an amount is more than 0, and at most 1000000000 dollars")
    return micro


Usd = Annotated[
    int,
    Kind("dollars"),
    BeforeValidator(
        parse_usd,
        json_schema_input_type=Annotated[str, Field(pattern=f"^{_USD.pattern}$")]
        | Annotated[float, Field(gt=0, le=_MOST_USD)],
    ),
]
"""Micro-dollars."""

WINDOWS: Final = ("minute", "hour", "day", "week", "month")


def parse_window(value: object) -> str | int:
    """One of WINDOWS, or the seconds of a duration."""
    if isinstance(value, str) and value in WINDOWS:
        return value
    if isinstance(value, str) and re.fullmatch(DURATION_PATTERN, value, re.ASCII):
        seconds = parse_duration(value)
        if seconds < 1 or seconds % 1:
            raise refuse("a window is whole seconds, at least one")
        return int(seconds)
    raise refuse("expected minute, hour, day, week or month, or a duration such as 30m or 7d")


Window = Annotated[
    Literal["minute", "hour", "day", "week", "month"] | int,
    Kind("window"),
    BeforeValidator(
        parse_window,
        json_schema_input_type=Annotated[str, Field(pattern=f"^({'|'.join(WINDOWS)})$|{DURATION_PATTERN}")],
    ),
]

MIDNIGHT = Field("UTC", description="Where the midnight of `day`, `week` and `month` is.")
Store = Annotated[
    Literal["memory", "sqlite", "redis"],
    Field(
        description="`memory`: of this process, lost when it ends. `sqlite`: a file of this gateway. `redis`: for all "
        "replicas together."
    ),
]
STORE_FILE = Field("budgets.sqlite", description="With `sqlite`: the file, relative to `state_directory`.")
"""These three are the same for budgets and quotas of tools."""

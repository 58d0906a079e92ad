"""The file of `prices.file`: what models cost, for what is not, or not rightly, in the list that comes along."""

import re
from decimal import Decimal
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, model_validator

from gateway.config.models.base import Model, Section
from gateway.config.models.llm.values import ModelPattern, Tokens
from gateway.config.values.kinds import Kind, SomeOf, Unset, refuse

_DOLLARS: Final = re.compile(r"[0-9]{1,7}(\.[0-9]{1,9})?", re.ASCII)


def _parse_dollars(value: object) -> Decimal:
    text = format(Decimal(repr(value)), "f") if type(value) in (int, float) else value
    if not isinstance(text, str) or _DOLLARS.fullmatch(text) is None:
        raise refuse('expected dollars such as "0.15" or 2, with at most nine digits after the point')
    return Decimal(text)


Dollars = Annotated[
    Decimal,
    Kind("dollars"),
    BeforeValidator(_parse_dollars, json_schema_input_type=str | Annotated[float, Field(ge=0)]),
]


class Rates(Model):
    """Dollars for a million tokens."""

    input: Dollars = Field(description="Of input.")
    output: Dollars = Field(description="Of output.")
    cache_read: Unset[Dollars] = Field(None, description="Of input that was read from a cache. Unset: as `input`.")
    cache_write: Unset[Dollars] = Field(None, description="Of input that was written to a cache. Unset: as `input`.")
    reasoning: Unset[Dollars] = Field(None, description="Of output that was reasoning. Unset: as `output`.")


class PriceTier(Rates):
    """Prices of all tokens of a request with a longer input."""

    above: Tokens = Field(description="Tokens of input.")


class ListedPrice(Rates):
    """Prices of one model."""

    request: Dollars = Field(Decimal(0), description="Dollars for each request, beside its tokens.")
    tiers: SomeOf[PriceTier] = Field((), description="Other prices of long requests.")

    @model_validator(mode="after")
    def _ascend(self) -> "ListedPrice":
        starts = [tier.above for tier in self.tiers]
        if starts != sorted(set(starts)):
            raise refuse("the tiers must be in ascending order of above, each once")
        return self


class PriceList(Section):
    """Prices of models, of which the first whose name fits holds. A name is that of the provider, a slash, and the
    model as it is called there, or the model alone; `*` stands for any text."""

    prices: dict[ModelPattern, ListedPrice] = Field({}, description="By name: `local/*`, `gpt-5`.")

"""models.yaml: what tokens cost."""

from typing import Literal

from pydantic import Field

from gateway.config.models.base import Model, Section
from gateway.config.models.llm.values import Usd
from gateway.config.values.kinds import Text, Unset


class AssumedPrice(Model):
    """Dollars for a million tokens."""

    input: Usd = Field(description="Of input.", examples=[10])
    output: Usd = Field(description="Of output.", examples=[50])


class Prices(Section):
    """Prices are those of the list that comes with the gateway, and of a file before it."""

    file: Unset[Text] = Field(
        None,
        description="A YAML file with prices that go before those of the list, relative to the configuration "
        "directory.",
        examples=["prices.yaml"],
    )
    unknown: Literal["refuse", "free", "assume"] = Field(
        "refuse",
        description="What becomes of a model without a price, where a budget is in dollars: `refuse`: a 403; `free`: "
        "it costs nothing; `assume`: it costs what `assume` says.",
    )
    assume: Unset[AssumedPrice] = Field(
        None,
        description="With `unknown: assume`: what such a model costs. Unset: as much as the dearest that is known.",
        examples=[{"input": 10, "output": 50}],
    )

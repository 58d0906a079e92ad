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
        description="The handling of a model without a price in a budget in dollars: `refuse`: a 403; `free`: "
        "it costs nothing; `assume`: its price is `assume`.",
    )
    assume: Unset[AssumedPrice] = Field(
        None,
        description="With `unknown: assume`: the price of such a model. Unset: that of the dearest known one.",
        examples=[{"input": 10, "output": 50}],
    )

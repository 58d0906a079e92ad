"""models.yaml: budgets in tokens and in money."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from gateway.config.models.base import Model
from gateway.config.models.llm.values import MIDNIGHT, STORE_FILE, ModelPatterns, Store, Tokens, Usd, Window
from gateway.config.models.policy import Policy
from gateway.config.models.rate_limits import KEY_DESCRIPTION, ON_FAILURE_DESCRIPTION, check_part
from gateway.config.values.instants import Zone
from gateway.config.values.kinds import Kind, SomeOf, Text, Unset, refuse

_OWN_PARTS = ("model", "provider", "profile")


def _check_part(text: str) -> str:
    return text if text in _OWN_PARTS else check_part(text, _OWN_PARTS)


BudgetKeyPart = Annotated[
    str,
    Kind("consumer, tenant, address, route, model, provider, profile, header:Name or claim:name"),
    AfterValidator(_check_part),
]
_KEY = (
    KEY_DESCRIPTION.removesuffix(" A header that clients choose freely limits no one.")
    + " Also `model`, `provider` and `profile`. A header that clients choose freely limits no one."
)


class BudgetLimit(Model):
    """How much in which window: exactly one of tokens, usd and requests."""

    tokens: Unset[Tokens] = Field(None, description="Tokens, of input and output together.", examples=[2000000])
    usd: Unset[Usd] = Field(None, description="Dollars, as text or as a number.", examples=["50"])
    requests: Unset[Tokens] = Field(None, description="Requests.")
    window: Window = Field(
        description="`minute`, `hour`, `day`, `week` (from Monday on) or `month` of the calendar, or a duration such "
        "as `30m`: stretches of that length, counted from 1970 on.",
        examples=["day"],
    )

    @model_validator(mode="after")
    def _is_one(self) -> "BudgetLimit":
        units = sum(value is not None for value in (self.tokens, self.usd, self.requests))
        if units > 1:
            raise refuse("exactly one of tokens, usd and requests is needed; write another entry for another one")
        if not units:
            raise refuse('tokens, usd or requests is missing; add one of them, such as tokens: 2000000 or usd: "50"')
        return self


class Budget(Policy):
    """What callers may use of models in a window. What a request may need is reserved before it is sent, and what it
    needed is counted at its end; who has too little left gets a 429."""

    key: SomeOf[BudgetKeyPart] = Field(("consumer",), description=_KEY, examples=[["tenant"]])
    limits: SomeOf[BudgetLimit] = Field(
        description="All of them hold at once.", examples=[[{"usd": "50", "window": "month"}]]
    )
    models: ModelPatterns = Field(("*",), description="Only requests of these models; `*` stands for any text.")
    output_reserve: Literal["learned", "requested"] = Field(
        "learned",
        description="How much output is reserved: `learned`: the 95th percentile of answers of this model on this "
        "route to the caller; `requested`: the maximum of the request, or of the model.",
    )

    charge: Literal["delivered", "attempts"] = Field(
        "delivered",
        description="The charged answers: `delivered`: the one that the client got; `attempts`: also "
        "the output of failed providers before.",
    )
    timezone: Zone = MIDNIGHT
    store: Store = "sqlite"
    file: Text = STORE_FILE
    on_failure: Literal["open", "closed", "local"] = Field("local", description=ON_FAILURE_DESCRIPTION)

    @model_validator(mode="after")
    def _differ(self) -> "Budget":
        kinds = [(limit.tokens is None, limit.usd is None, limit.window) for limit in self.limits]
        if len(set(kinds)) < len(kinds):
            raise refuse("two of the limits are for the same window; keep the smaller one")
        return self

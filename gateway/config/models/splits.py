"""A route that leads to several services."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from gateway.config.models.auth.authorization import Condition
from gateway.config.models.base import Late, Model
from gateway.config.models.predicates import HeaderPredicates, ValuePredicate
from gateway.config.values import addresses
from gateway.config.values.kinds import Kind, SomeOf, Text, Unset, as_list, refuse, shorthand

Names = Annotated[
    SomeOf[Text],
    Kind("text, or list of them"),
    BeforeValidator(as_list, json_schema_input_type=str | SomeOf[Text]),
]


class SplitWhen(Model):
    """Which requests an entry of a split gets, whatever the weights. All that is given must hold. A bare text is the
    same as `condition`. What a request has twice fits nothing."""

    header: HeaderPredicates = Field({}, description="Headers, by name: a text (the exact value), or a predicate.")
    cookie: dict[Text, ValuePredicate] = Field({}, description="Cookies, by name, likewise.")
    query: dict[Text, ValuePredicate] = Field({}, description="Query parameters, by name, likewise.")
    group: Unset[Names] = Field(None, description="A group that the caller is in, or several, of which one is enough.")
    consumer: Unset[Names] = Field(None, description="The consumer, or several.")
    tenant: Unset[Names] = Field(None, description="The tenant of the caller, or several.")
    condition: Unset[Condition] = Field(
        None, description="A condition, as `when` in `authorize` has it; see Conditions."
    )

    @model_validator(mode="after")
    def _asks_something(self) -> "SplitWhen":
        if not self.model_fields_set:
            raise refuse("it asks for nothing; name a header, cookie, query, group, consumer, tenant or condition")
        return self


When = Annotated[
    Late[SplitWhen],
    Kind("condition, or keys below"),
    BeforeValidator(shorthand("condition"), json_schema_input_type=str | Late[SplitWhen]),
]


class SplitEntry(Model):
    """One of the services that a route is split over."""

    target: addresses.TargetText = Field(description="Where its requests go, as `target` of a route.")
    weight: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Share of the requests that no `when` decides, relative to the other entries. An entry has this or "
        "`when`, or both. 0: none but those of clients that stay there, by the route's `sticky`.",
    )
    when: Unset[When] = Field(None, description="Which requests it gets, whatever the weights.")

    @model_validator(mode="before")
    @classmethod
    def _gets_something(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.keys().isdisjoint(("weight", "when")):
            raise refuse("an entry needs a weight, or says when it gets requests")
        return value

"""models.yaml: rules that choose a profile, and profiles that choose among providers."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from gateway.config.models.base import Model, Section
from gateway.config.models.llm.values import ModelName, ModelPatterns, Name, NamesByProvider, Tokens
from gateway.config.models.policy import Named, RouteGlob
from gateway.config.values.addresses import parse_read_header
from gateway.config.values.kinds import Kind, SomeOf, Text, Unset, accepted_by, as_list, refuse, shorthand
from gateway.config.values.paths import check_regex
from gateway.config.values.quantities import Duration, Size

Texts = Annotated[
    SomeOf[Text], Kind("text, or list of texts"), BeforeValidator(as_list, json_schema_input_type=str | list[str])
]
Globs = Annotated[
    SomeOf[RouteGlob],
    Kind("route id, or list of them"),
    BeforeValidator(as_list, json_schema_input_type=str | list[str]),
]


class ValueWhen(Model):
    """A condition on a header or claim: one of equals, prefix, regex and present. Only a name: it is present."""

    equals: Unset[Text] = Field(None, description="The value, character by character.")
    prefix: Unset[Text] = Field(None, description="A prefix of the value.")
    regex: Unset[Text] = Field(
        None, description="A regular expression for the whole value, as those of `matches`; see Conditions."
    )
    present: Unset[bool] = Field(None, description="true: it is there, whatever its value; false: it is not there.")

    _compiles = field_validator("regex")(check_regex)

    @model_validator(mode="before")
    @classmethod
    def _is_named(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise refuse("expected entries with name, and a condition on the value", f"; write {{name: {value}}}")
        if isinstance(value, dict) and len(value) == 1 and cls.model_fields.keys().isdisjoint(value):
            key, wanted = next(iter(value.items()))
            raise refuse("write the name as `name:`", f"; write {{name: {key}, equals: {wanted}}}")
        return value

    @model_validator(mode="after")
    def _is_one(self) -> "ValueWhen":
        if sum(value is not None for value in (self.equals, self.prefix, self.regex, self.present)) > 1:
            raise refuse("only one of equals, prefix, regex and present is possible")
        return self


class HeaderWhen(ValueWhen):
    """A header, and what it must be: one of equals, prefix, regex and present. Only a name: it is there."""

    name: Annotated[Text, Kind("header name"), accepted_by(parse_read_header)] = Field(
        description="Its name, in any letter case.", examples=["X-Route-Profile"]
    )


class ClaimWhen(ValueWhen):
    """A claim of the caller's token, and what it must be, as of a header; of a list, one of its entries."""

    name: Text = Field(description="Its name; one within another with a dot: `org.plan`.", examples=["plan"])


class EstimatedTokens(Model):
    """The estimated size of the request: its input, without the answer."""

    gt: Unset[Annotated[int, Field(ge=0, le=10**15)]] = Field(None, description="More than so many.")
    lt: Unset[Tokens] = Field(None, description="Less than so many.")

    @model_validator(mode="after")
    def _is_possible(self) -> "EstimatedTokens":
        if self.gt is None and self.lt is None:
            raise refuse("gt or lt is needed, such as {gt: 20000}")
        if self.gt is not None and self.lt is not None and self.lt <= self.gt + 1:
            raise refuse("no number is between gt and lt; correct one of them")
        return self


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, dict | str) else value


class When(Section):
    """Conditions on a request, all of which must be true. Empty: every request."""

    header: Annotated[
        SomeOf[HeaderWhen],
        Kind("keys below, or list of them"),
        BeforeValidator(_as_list, json_schema_input_type=HeaderWhen | SomeOf[HeaderWhen]),
    ] = Field((), description="A header, or several, which must all be so.")
    claim: Annotated[
        SomeOf[ClaimWhen],
        Kind("keys below, or list of them"),
        BeforeValidator(_as_list, json_schema_input_type=ClaimWhen | SomeOf[ClaimWhen]),
    ] = Field((), description="A claim of the caller's token, or several, which must all be so.")
    model: ModelPatterns = Field((), description="The requested model, or an alias; `*` stands for any text.")
    consumer: Texts = Field((), description="The consumer is one of these.")
    tenant: Texts = Field((), description="The tenant is one of these.")
    group: Texts = Field((), description="The consumer is in one of these groups.")
    route: Globs = Field((), description="The route is one of these ids; `*` stands for any text.")
    estimated_tokens: Unset[EstimatedTokens] = Field(
        None, description="How long the input is, as far as that can be estimated.", examples=[{"gt": 20000}]
    )
    tools: Unset[bool] = Field(None, description="true: the request offers tools; false: it offers none.")
    stream: Unset[bool] = Field(None, description="true: the answer is to be streamed; false: it is not.")

    @property
    def always(self) -> bool:
        """Whether it holds of every request."""
        return not any(getattr(self, name) not in ((), None) for name in type(self).model_fields)


class ModelRule(Model):
    """Which requests get which profile. The first rule counts whose `when` holds."""

    when: When = Field(When.unset(), description="Which requests.")
    use: Name = Field(description="The profile that they get.", examples=["heavy"])


class Choice(Model):
    """A provider of a profile. A bare text is the same as `name`."""

    name: Name = Field(description="The provider.", examples=["anthropic"])
    weight: Unset[Annotated[int, Field(ge=0, le=1000)]] = Field(
        None, description="Its share of the requests, relative to the others. 0: only where the others are out."
    )


ChoiceText = Annotated[
    Choice,
    Kind("name of a provider, or keys below"),
    BeforeValidator(shorthand("name"), json_schema_input_type=str | Choice),
]


class Allow(Section):
    """Who may have a profile that a rule gives. Who is in none of the lists gets the next rule that fits."""

    tenants: SomeOf[Text] = Field((), description="Callers of these tenants.")
    groups: SomeOf[Text] = Field((), description="Callers in one of these groups.")
    consumers: SomeOf[Text] = Field((), description="These consumers.")

    @property
    def everybody(self) -> bool:
        """Whether nothing is asked for."""
        return not (self.tenants or self.groups or self.consumers)


class Bounds(Section):
    """The least and the most."""

    min: Unset[Annotated[float, Field(ge=0, le=2)]] = Field(None, description="The least.")
    max: Unset[Annotated[float, Field(ge=0, le=2)]] = Field(None, description="The most.")

    @model_validator(mode="after")
    def _in_order(self) -> "Bounds":
        if self.min is not None and self.max is not None and self.min > self.max:
            raise refuse("min is more than max; exchange them")
        return self


class ModelCache(Section):
    """Answers that are used again for exactly the same request, of the same caller. Never with tools, and never where
    the provider is to store something."""

    ttl: Duration = Field(300, description="How long an answer is used again.")
    shared_by: Literal["consumer", "tenant"] = Field(
        "consumer", description="Whose requests share answers: those of a consumer, or of a tenant."
    )
    max_size: Size = Field(1024**2, description="The largest answer that is kept.")


class ModelHedge(Section):
    """A second attempt at the next provider where the first takes long; the first good answer wins, and both are
    reserved. Of requests that are not streamed only."""

    after: Duration = Field(description="When.", examples=["5s"])


CacheOfProfile = Annotated[
    ModelCache,
    Kind("duration, or keys below"),
    BeforeValidator(shorthand("ttl"), json_schema_input_type=Duration | ModelCache),
]
HedgeOfProfile = Annotated[
    ModelHedge,
    Kind("duration, or keys below"),
    BeforeValidator(shorthand("after"), json_schema_input_type=Duration | ModelHedge),
]


class Profile(Section):
    """Who may answer, and within which limits."""

    max_context_tokens: Unset[Tokens] = Field(
        None,
        description="The most tokens of input and output together, as estimated. Longer requests get the "
        "profile `overflow`, or are refused (400). Unset: the limit of the provider.",
        examples=[32000],
    )
    prefer_providers: SomeOf[Name] = Field(
        (), description="Providers that are asked first, in this order; then the others that offer the model."
    )
    providers: SomeOf[ChoiceText] = Field(
        (),
        description="The only providers that are asked, in this order; those with a `weight` share the requests "
        "that go to the first of them. Not together with `prefer_providers`.",
    )
    aliases: dict[ModelName, NamesByProvider] = Field(
        {}, description="Aliases of this profile, before those of the file."
    )
    overflow: Unset[Name] = Field(None, description="The profile for requests that are too long for this one.")
    allow: Allow = Field(
        Allow.unset(), description="Callers that may use it, whatever the headers say. Unset: every caller."
    )
    max_output_tokens: Unset[Tokens] = Field(
        None, description="The most tokens of output that a request may ask for; more is brought down to it."
    )
    temperature: Bounds = Field(
        Bounds.unset(), description="The allowed range of `temperature`; other values are a 400."
    )
    cache: Unset[
        Annotated[ModelCache, BeforeValidator(shorthand("ttl"), json_schema_input_type=Duration | ModelCache)]
    ] = Field(None, description="Use answers again. Unset: never.")
    guardrails: SomeOf[Name] = Field((), description="Guardrails of requests with this profile, in this order.")
    hedge: Unset[
        Annotated[ModelHedge, BeforeValidator(shorthand("after"), json_schema_input_type=Duration | ModelHedge)]
    ] = Field(None, description="A second attempt beside a slow first one. Unset: none.")

    @model_validator(mode="after")
    def _is_one_list(self) -> "Profile":
        if self.providers and self.prefer_providers:
            raise refuse("providers and prefer_providers exclude each other; remove one of them")
        return self


class ModelRouting(Section):
    """Which profile a request gets."""

    default: Unset[Name] = Field(
        None,
        description="The profile where no rule fits. Unset: one without limits, with every provider.",
        examples=["fast"],
    )
    profiles: Named[Profile] = Field({}, description="The profiles, by their names.")
    rules: SomeOf[ModelRule] = Field((), description="Rules, of which the first that fits counts.")

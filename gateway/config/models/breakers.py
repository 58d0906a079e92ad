"""Settings of circuit breakers."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field

from gateway.config.models.base import Late, Model
from gateway.config.values.kinds import Kind, Text, Unset, shorthand
from gateway.config.values.quantities import Duration, Percent

_ERRORS = "Share of failed calls in the window at which it opens."
_SLOW = "How long a call takes until the head of its response, at least, to be a slow one."


class BreakerProfile(Model):
    """How one kind of call is judged. Failed are responses with a 5xx and failures of the upstream, after all retries.
    Answers of 4xx and clients that go away are left out."""

    error_ratio: Percent = Field(50, description=_ERRORS)
    slow_ratio: Percent = Field(100, description="The same for slow calls.")
    slow: Duration = Field(60, description=_SLOW)
    minimum: int = Field(20, ge=1, le=100_000, description="Calls in the window, below which nothing is judged.")
    window: Duration = Field(30, description="How long a call counts, in whole seconds, up to an hour.", le=3600)
    open: Duration = Field(10, description="How long it stays open at first; twice as long each time trials fail.")
    longest_open: Duration = Field(300, description="The longest that it stays open.")
    trials: int = Field(10, ge=1, le=1000, description="Calls that are let through afterwards, and judged together.")
    half_open: Duration = Field(60, description="How long the trials may take; without an answer they have failed.")
    ramp: Duration = Field(10, description="How long it takes after that until all calls are let through again.")


class Breaker(Model):
    """The circuit breaker of a route, one for each of its targets. What it does not say, its profile does."""

    profile: Text = Field(
        "short", description="`short`, `long-tail`, `llm`, or another one of `breakers` in middleware.yaml."
    )
    error_ratio: Unset[Percent] = Field(None, description=_ERRORS)
    slow_ratio: Unset[Percent] = Field(None, description="The same for slow calls.")
    slow: Unset[Duration] = Field(None, description=_SLOW)
    minimum: Unset[Annotated[int, Field(ge=1, le=100_000)]] = Field(
        None, description="Calls in the window, below which nothing is judged."
    )
    window: Unset[Annotated[Duration, Field(le=3600)]] = Field(None, description="How long a call counts.")
    open: Unset[Duration] = Field(None, description="How long it stays open at first.")
    longest_open: Unset[Duration] = Field(None, description="The longest that it stays open.")
    trials: Unset[Annotated[int, Field(ge=1, le=1000)]] = Field(
        None, description="Calls that are let through afterwards, and judged together."
    )
    half_open: Unset[Duration] = Field(None, description="How long the trials may take.")
    ramp: Unset[Duration] = Field(None, description="How long it takes until all calls are let through again.")

    def judged_by(self, profiles: dict[str, BreakerProfile]) -> BreakerProfile:
        """The profile, with what the route says in its place. One that does not exist is that of short calls."""
        profile = (PROFILES | changed(profiles)).get(self.profile, PROFILES["short"])
        return profile.model_copy(update=self.model_dump(exclude_none=True, exclude={"profile"}))


BreakerOfRoute = Annotated[
    Late[Breaker],
    Kind("name of a profile, or keys below"),
    BeforeValidator(shorthand("profile"), json_schema_input_type=str | Late[Breaker]),
]

PROFILES = {
    "short": BreakerProfile.model_construct(slow=5.0),
    "long-tail": BreakerProfile.model_construct(slow=120.0, window=300.0, minimum=10, half_open=300.0, trials=5),
    "llm": BreakerProfile.model_construct(slow=30.0, window=120.0, minimum=10, half_open=180.0, trials=5),
}
"""Those that there are without a configuration: for calls of milliseconds, for tools that take minutes, and for models,
whose first word may take seconds."""


def changed(profiles: Mapping[str, BreakerProfile]) -> dict[str, BreakerProfile]:
    """Profiles as they are written; what one of the names above does not say, it has from there."""
    return {
        name: PROFILES[name].model_copy(update={key: getattr(profile, key) for key in profile.model_fields_set})
        if name in PROFILES
        else profile
        for name, profile in profiles.items()
    }

"""middleware.yaml: quotas."""

from typing import Annotated, Literal

from pydantic import Field

from gateway.config.models.policy import Policy
from gateway.config.models.rate_limits import KEY_DESCRIPTION, ON_FAILURE_DESCRIPTION, KeyPart
from gateway.config.values.instants import Zone
from gateway.config.values.kinds import SomeOf, Text


class Quota(Policy):
    """Requests in a day or month of the calendar, kept across restarts; a caller over it gets a 429. `GET /quota`
    shows callers what is left; with quotas, that path belongs to the gateway, also behind `base_path`. It accepts the
    schemes of `default` in auth.yaml, or, where there are none, those of all routes. `gateway quota show` and
    `gateway quota reset` are for operators."""

    key: SomeOf[KeyPart] = Field(("consumer",), description=KEY_DESCRIPTION, examples=[["tenant"]])
    limit: int = Field(ge=1, le=10**15, description="Requests in the window.", examples=[100000])
    tiers: dict[Text, Annotated[int, Field(ge=1, le=10**15)]] = Field(
        {},
        description="Limits in place of `limit` for consumers of a group. A consumer in several groups has the "
        "first one listed here.",
        examples=[{"gold": 1000000}],
    )
    window: Literal["day", "month"] = Field(description="Which window of the calendar.", examples=["month"])
    timezone: Zone = Field("UTC", description="Where its midnight is.")
    store: Literal["sqlite", "redis"] = Field(
        "sqlite",
        description="`sqlite`: a file of this gateway. `redis`: for all replicas together, which learn of each other's "
        "requests within 0.25 s: by so much of the traffic a quota may be exceeded. What was counted in the "
        "last 0.25s before a crash may be lost. A Redis that lost its data gets what is used from the gateways; for "
        "3 seconds, in which all of them hear of it, `on_failure` holds as if it did not answer.",
    )
    file: Text = Field(
        "quotas.sqlite",
        description="With `sqlite`: the file, relative to `state_directory`.",
    )
    on_failure: Literal["open", "closed", "local"] = Field("local", description=ON_FAILURE_DESCRIPTION)

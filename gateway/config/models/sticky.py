"""Cookies by which clients stay where they were."""

from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator

from gateway.config.models.auth.scheme_keys import CookieName
from gateway.config.models.base import Model
from gateway.config.values.kinds import Kind, Unset, refuse
from gateway.config.values.quantities import Duration


class StickyCookie(Model):
    """Common keys of the two kinds of sticky cookies."""

    cookie: CookieName = Field(description="The name of the cookie.", examples=["gw"])
    secret: Unset[Annotated[SecretStr, Kind("text")]] = Field(
        None,
        description="The secret that signs the cookie, the same for all gateways that serve the same clients: "
        "`${STICKY_SECRET}`, not the text itself; at least 16 characters. Unset: one that is made at the first start "
        "and kept in the file `sticky-key` of `state_directory`.",
    )
    max_age: Unset[Duration] = Field(
        None, description="How long browsers keep the cookie. Unset: until they are closed."
    )
    same_site: Literal["lax", "strict", "none"] = Field(
        "lax", description="Whether pages of other sites may send it. `none` needs https on all ways to clients."
    )

    @field_validator("secret", mode="before")
    @classmethod
    def _is_long(cls, value: Any) -> Any:
        if isinstance(value, str) and len(value) >= 16:
            return SecretStr(value)
        raise refuse("expected a text of at least 16 characters")


class Sticky(StickyCookie):
    """Clients stay with their endpoint while it is up, by a cookie that the gateway sets.

    Who has no cookie gets an endpoint as with `least_request`. An endpoint of weight 0 keeps its clients.
    """

    cookie: CookieName = Field(description="The name of the cookie: another one for each service.", examples=["gw"])


class StickySplit(StickyCookie):
    """Clients stay with the service of a `split` that they got by its weights, by a cookie that the gateway sets.

    A change of weights is for new clients only. An entry of `weight: 0` keeps its clients and gets no others; one that
    is removed loses them. Where a `when` holds, it decides, and sets no cookie.
    """

    cookie: CookieName = Field(
        description="The name of the cookie: the same for routes that are split over the same services, where a client "
        "is to get the same one on all of them, and another one for any other.",
        examples=["gw-version"],
    )

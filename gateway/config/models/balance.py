"""routes.yaml: how the requests of a service are shared by its endpoints."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from gateway.config.models.auth.scheme_keys import CookieName
from gateway.config.models.base import Late, Model
from gateway.config.models.sticky import Sticky
from gateway.config.problems import quote, suggest
from gateway.config.values.addresses import HeaderName
from gateway.config.values.kinds import Kind, Text, Unset, refuse, shorthand

Method = Literal["least_request", "round_robin", "random", "peak_ewma"]


class ConsistentHash(Model):
    """The same endpoint for the same key, by every gateway that knows the same endpoints. Exactly one key.

    A request without the key goes to any endpoint.
    """

    header: Unset[HeaderName] = Field(None, description="The key is the value of this header.", examples=["X-Session"])
    cookie: Unset[CookieName] = Field(None, description="The key is the value of this cookie.")
    query: Unset[Text] = Field(None, description="The key is the value of this query parameter.")
    client: bool = Field(False, description="The key is the address of the client.")
    table: Literal["maglev", "ring"] = Field(
        "maglev",
        description="With `maglev` the endpoints' shares are even, and a few keys of others move when an endpoint "
        "leaves. With `ring` only its own keys move, and the shares differ more.",
    )
    load_factor: float = Field(
        1.25,
        ge=1,
        le=10,
        description="No endpoint has more than so many times its share of the requests in flight: what does not fit "
        "goes to others. 10: practically no limit.",
    )

    @model_validator(mode="after")
    def _has_one_key(self) -> "ConsistentHash":
        given = [self.header is not None, self.cookie is not None, self.query is not None, self.client]
        if sum(given) != 1:
            raise refuse("consistent_hash needs exactly one key: header, cookie, query, or client: true")
        return self


_FOREIGN = {
    **dict.fromkeys(("least_conn", "least_connections", "leastconn"), "least_request"),
    **dict.fromkeys(("ip_hash", "source", "source_ip", "consistent_hashing"), "{consistent_hash: {client: true}}"),
    **dict.fromkeys(("ring_hash", "maglev", "hash"), "{consistent_hash: {header: NAME}}"),
    **dict.fromkeys(("latency", "ewma", "least_time"), "peak_ewma"),
    **dict.fromkeys(("wrr", "rr", "roundrobin", "weighted_round_robin"), "round_robin"),
}
"""Names of balancers in nginx, HAProxy, Envoy, Kong and Traefik."""


class Balance(Model):
    """Who gets the next request. A bare name is the same as `method`."""

    method: Method = Field(
        "least_request",
        description="`least_request`: the better of two that are drawn at random, by requests in flight. `peak_ewma`: "
        "the same by response times, too. `round_robin`: in turn. `random`. All of them by weight.",
    )
    consistent_hash: Unset[ConsistentHash] = Field(
        None, description="The same endpoint for the same client, by a hash. In place of `method`."
    )
    sticky: Unset[Sticky] = Field(
        None, description="Clients stay with their endpoint, by a cookie. In place of `method`."
    )

    @field_validator("method", mode="before")
    @classmethod
    def _is_known(cls, value: Any) -> Any:
        names = list(get_args(Method))
        if value in names:
            return value
        forms = f"{', '.join(names)}, {{consistent_hash: {{header: NAME}}}} or {{sticky: {{cookie: NAME}}}}"
        if isinstance(value, str) and (ours := _FOREIGN.get(value.lower().replace("-", "_"))):
            raise refuse(f"expected {forms}", f"; write {ours}")
        likely = suggest(value, names, 0.8) if isinstance(value, str) else None
        raise refuse(f"expected {forms}", f"; did you mean {quote(likely)}?" if likely else "")

    @model_validator(mode="after")
    def _is_one(self) -> "Balance":
        if len(self.model_fields_set) > 1:
            raise refuse(f"balance is one of {', '.join(sorted(type(self).model_fields))}; keep one of them")
        return self


BalanceConfig = Annotated[
    Late[Balance],
    Kind("name, or keys below"),
    BeforeValidator(shorthand("method"), json_schema_input_type=Method | Late[Balance]),
]

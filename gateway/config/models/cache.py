"""The response cache: `cache` of middleware.yaml, and of a route."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from gateway.config.models.base import Late, Model
from gateway.config.models.policy import ForRoutes
from gateway.config.values import addresses
from gateway.config.values.kinds import Kind, Several, Unset, shorthand
from gateway.config.values.quantities import Duration, DurationOrZero, Size

_HEURISTIC = (
    "Take a response that says when it last changed, but not how long it is fresh, to be fresh for a tenth of the time "
    "since then, at most a day. Off: it is validated before each use."
)


class Cache(ForRoutes):
    """Responses to GET and HEAD are stored and used again, as far as they allow that (RFC 9111). `cache: {}` is enough
    for that. The cache stands behind authentication, limits and all other policies, so that no client gets what it
    would not get otherwise. Never stored are the answers to requests that have an identity, or show anything in which
    a scheme of auth.yaml looks for a credential, `Authorization`, `Cookie` or a client's certificate, unless the route
    says `with_credentials`; and never those with `Set-Cookie` or `Vary: *`, parts, and event streams. Requests for the
    same that come together become one. `Cache-Status` and `Age` of a response, and `cache` in the access log, say what
    was done. What changes a resource (POST, PUT, DELETE and the like, with success) removes what is stored of it."""

    store: Literal["memory", "redis"] = Field(
        "memory", description="`memory`: of this process; `redis`: shared by all gateways with the same `redis`."
    )
    size: Size = Field(
        64 * 1024**2,
        description="The maximal size of all stored responses. The least recently used ones, or in Redis those that "
        "expire soonest, are removed first. Bodies that are being stored take at most the same again.",
    )
    max_body: Size = Field(
        1024**2, description="Largest body that is stored. In memory also at most a sixteenth of `size`."
    )
    keep_stale: DurationOrZero = Field(
        3600,
        description="How long a response is kept when it is not fresh any more, to be validated with the backend, or "
        "used where that fails.",
    )
    stale_if_error: DurationOrZero = Field(
        0,
        description="How long a response that does not say it itself may be used after it was fresh, where the backend "
        "fails or answers 500, 502, 503 or 504. Not where it says `must-revalidate`, `proxy-revalidate`, `no-cache` or "
        "`s-maxage`.",
    )
    stale_while_revalidate: DurationOrZero = Field(
        0,
        description="How long such a response may be used after it was fresh while a new one is asked for; not where "
        "it says one of these either.",
    )
    heuristic: bool = Field(False, description=_HEURISTIC)
    wait: Duration = Field(
        5, description="How long a request waits for another that asks for the same, before it asks itself."
    )


class RouteCache(Model):
    """The cache on one route. What is not set here is taken from `cache` of middleware.yaml, but for its `routes`."""

    enabled: bool = Field(True, description="false: the route has no cache. `cache: false` is the same.")
    with_credentials: bool = Field(
        False,
        description="Answer requests with an identity or a credential from the cache, too: with responses that say "
        "`public`, `s-maxage` or `must-revalidate` (RFC 9111, 3.5), by which the backend declares that every caller "
        "who is let through may have them, whichever client asked first.",
    )
    max_body: Unset[Size] = Field(None, description="Largest body that is stored.")
    stale_if_error: Unset[DurationOrZero] = Field(
        None, description="How long a response may be used after it was fresh, where the backend fails."
    )
    stale_while_revalidate: Unset[DurationOrZero] = Field(
        None, description="How long it may be used while a new one is asked for."
    )
    heuristic: Unset[bool] = Field(None, description=_HEURISTIC)
    vary: Several[addresses.HeaderName] = Field(
        (),
        description="Headers of the request on which responses depend although their `Vary` does not say so, such as a "
        "header that the backend repeats in its page.",
        examples=["x-region"],
    )


CacheOfRoute = Annotated[
    Late[RouteCache],
    Kind("true or false, or keys below"),
    BeforeValidator(shorthand("enabled"), json_schema_input_type=bool | Late[RouteCache]),
]

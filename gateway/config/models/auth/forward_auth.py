"""A service that is asked for every request."""

from typing import Literal

from pydantic import Field

from gateway.config.models.auth.scheme_keys import TOKEN_FROM, TokenFrom
from gateway.config.models.base import Model, Section
from gateway.config.values import addresses
from gateway.config.values.addresses import HttpUrl
from gateway.config.values.kinds import Several, Unset
from gateway.config.values.quantities import Duration


class IdentityFrom(Section):
    """Which headers of the service's answer say who calls."""

    consumer: Unset[addresses.OwnHeader] = Field(
        None, description="The consumer's name. Unset, or not there: the name of the scheme."
    )
    tenant: Unset[addresses.OwnHeader] = Field(None, description="The tenant.")
    groups: Unset[addresses.OwnHeader] = Field(None, description="The groups, separated by commas.")
    scopes: Unset[addresses.OwnHeader] = Field(None, description="The scopes, separated by spaces.")


class ForwardAuthScheme(Model):
    """A service that is asked for every request, as `auth_request` of nginx and ForwardAuth of Traefik do.

    It gets a GET with `X-Forwarded-Method`, `-Proto`, `-Host`, `-Uri` and `-For`, and never the body. `-Uri` is the
    path in the form of the route, as conditions see it, with the query; the `base_path` that came in front is in
    `X-Forwarded-Prefix`. 2xx: the request may pass. 401, 403 and redirects are the caller's answer, as they are.
    Anything else is as if it had not answered. The backend gets `Authorization` as it came.
    """

    url: HttpUrl = Field(description="The URL of the service.", examples=["http://auth:8080/verify"])
    request_headers: Several[addresses.HeaderName] = Field(
        ("authorization", "cookie"),
        description="Headers of the request that the service gets to see; `X-Forwarded-*`, and others by which proxies "
        "say where a request came from, only from `trusted_proxies`.",
    )
    from_: TokenFrom = TOKEN_FROM
    response_headers: Several[addresses.HeaderName] = Field(
        (),
        description="Headers of its answer that the backend gets. Clients' headers of these names are removed, as are "
        "identity headers. Those that the gateway writes itself are refused.",
    )
    client_response_headers: Several[addresses.HeaderName] = Field(
        (),
        description="Headers of its answer that the client gets, beside those of the backend, where it lets the "
        "request pass: `Set-Cookie` for a session that it renews.",
        examples=["set-cookie"],
    )
    identity: IdentityFrom = Field(IdentityFrom.unset(), description="Headers of its answer that identify the caller.")
    timeout: Duration = Field(2, description="To answer.")
    on_failure: Literal["unavailable", "forbidden"] = Field(
        "unavailable",
        description="The answer to callers if it does not answer: 503 (`unavailable`) or 403 (`forbidden`).",
    )

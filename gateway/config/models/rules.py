"""middleware.yaml: rules for requests that look at one thing each."""

import re
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.algorithms.networks import NetworkMap
from gateway.config.models.base import Section
from gateway.config.models.policy import ForRoutes, Policy, RouteGlob
from gateway.config.values import addresses
from gateway.config.values.kinds import Kind, Several, SomeOf, Text, refuse
from gateway.config.values.quantities import Duration, Size

_MEDIA_RANGE = re.compile(
    r"""([\w!#$&^.+-]+|\*)/([\w!#$&^.+*-]+)(\s*;\s*[\w!#$&^.+-]+=([\w!#$&^.+-]+|"[^"\\]*"))*""", re.ASCII
)


class RequestIds(Section):
    """The id that every request has: in the access log, in error responses, and as `X-Request-ID` for the backend."""

    header: addresses.OwnHeader = Field(
        "x-request-id",
        description="Header in which a client may give an id, and in which the backend and, with `echo`, the client "
        "get it. Backends get `X-Request-ID` in any case.",
    )
    trust: Literal["proxies", "always", "never"] = Field(
        "proxies",
        description="Whose id is taken: that of `trusted_proxies` (auth.yaml), of every client, or none. An id is up "
        "to 128 letters, digits and `._:-`; instead of any other, a new one is made.",
    )
    echo: bool = Field(False, description="Tell the client the id in every response, not only in errors.")


class Maintenance(Policy):
    """Maintenance mode: 503 with `Retry-After` for every client that is not exempt."""

    enabled: bool = Field(False, description="Whether it is on.")
    retry_after: Duration = Field(300, description="When clients should try again: `Retry-After`.")
    message: Text = Field(
        "the service is under maintenance; please try again later", description="The message to clients."
    )
    exempt_routes: Several[RouteGlob] = Field((), description="Ids of routes that go on, or patterns of them.")
    exempt_networks: Several[addresses.Network] = Field(
        (), description="Networks (CIDR) or addresses of clients that go on being served."
    )


class IpAllow(Policy):
    """Clients that may come, by address; all others are a 403. Where several lists are for one route, a client must be
    in each of them. The address is that of the client behind `trusted_proxies` (auth.yaml)."""

    networks: SomeOf[addresses.Network] = Field(
        description="Networks (CIDR) or addresses.", examples=[["10.0.0.0/8", "2001:db8::/32"]]
    )

    @cached_property
    def known(self) -> NetworkMap[None]:
        """The networks as requests look them up: one map for all routes."""
        return NetworkMap((network, None) for network in self.networks)


def _check_media_range(text: str) -> str:
    match = _MEDIA_RANGE.fullmatch(text)
    if match is None or (match[1] == "*" and match[2] != "*") or match[2].count("*") > 1:
        raise refuse("a content type is written type/subtype; with *, it is type/*, type/*+suffix or */*")
    return text


MediaRange = Annotated[
    Text, Kind("content type, or a pattern of them", "^[^/ ]+/[^/ ]+"), AfterValidator(_check_media_range)
]


class ContentTypes(Policy):
    """Content types that request bodies may have; all others are a 415, as is a body without one. Requests without a
    body are not looked at. Where several lists are for one route, each of them must have the type."""

    allow: SomeOf[MediaRange] = Field(
        description="Types such as `application/json`, `image/*`, `application/*+json` or `*/*`. A parameter, as in "
        "`text/plain; charset=utf-8`, must be there, too; without one, all parameters are fine.",
        examples=[["application/json"]],
    )


Encoding = Literal["zstd", "br", "gzip"]


class Compression(ForRoutes):
    """Compression of responses, for clients that accept it. Left alone are: what is compressed already, event streams,
    parts (206), what says `Cache-Control: no-transform`, and what carries a digest of itself. A response is passed on
    piece by piece, as it comes. A strong `ETag` becomes weak, also in the 304, the 206 and the answer to HEAD that
    stand for a compressed response; that to HEAD has no `Content-Length`. Ranges are for clients that accept no coding.
    Not for routes whose responses hold both a secret and what a stranger may choose: the length of what is compressed
    together tells of its content (BREACH)."""

    encodings: Several[Encoding] = Field(
        (), description="`zstd`, `br`, `gzip`: the codings, in order of preference. None: nothing is compressed."
    )
    min_size: Size = Field(1024, description="Smaller responses are sent as they are, where their size is known.")
    types: SomeOf[MediaRange] = Field(
        (
            "text/*",
            "application/json",
            "application/*+json",
            "application/xml",
            "application/*+xml",
            "application/javascript",
            "application/x-ndjson",
            "application/wasm",
            "image/svg+xml",
            "image/bmp",
            "font/ttf",
            "font/otf",
        ),
        description="Content types that are compressed.",
    )

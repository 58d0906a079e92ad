"""middleware.yaml: the id of every request."""

from typing import Literal

from pydantic import Field

from gateway.config.models.base import Section
from gateway.config.values import addresses


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
    echo: bool = Field(
        False,
        description="Send the id to the client in every response, not only in errors. It costs half a microsecond.",
    )

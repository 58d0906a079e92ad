"""middleware.yaml: what clients may cost."""

from typing import Literal

from pydantic import Field, field_validator

from gateway.config.models.base import Section
from gateway.config.values import addresses
from gateway.config.values.kinds import Several, refuse
from gateway.config.values.quantities import Duration, Size
from gateway.http.header_filter import WRITTEN_HERE, is_of_proxies


class ClientLimits(Section):
    """Limits of clients."""

    connections: int = Field(10000, ge=1, le=10_000_000, description="Client connections at a time.")
    header_timeout: Duration = Field(10, description="To receive the head of a request; later is a 408.")
    keep_alive: Duration = Field(75, description="How long an unused client connection is kept.")
    stall: Duration = Field(
        60, description="Without progress of a client that neither sends the body it announced nor reads its response."
    )
    head: Size = Field(32 * 1024, description="All headers of a request; more is a 431.")
    url: Size = Field(8 * 1024, description="The request line's target; more is a 414.")
    headers: int = Field(100, ge=1, le=10_000, description="Headers of a request; more is a 431.")
    body: Size = Field(4 * 1024**3, description="Body of a request; more is a 413.")
    bodies_in_memory: Size | None = Field(
        None,
        description="Bodies that are read whole before they are sent, as those of requests to models and MCP servers "
        "are: what all of them may take together, decompressed and parsed, about three times their size, until their "
        "responses have ended; more is a 503. Unset: half of the memory that the gateway may have.",
    )
    underscore_headers: Literal["drop", "pass"] = Field(
        "drop",
        description="Headers of requests with an underscore in their names, which backends in the manner of CGI take "
        "for those with a hyphen: backends do not get them (`drop`), or those that could pass for none of the "
        "gateway's own (`pass`). Names with a dot, or another mark but the hyphen, are always dropped.",
    )
    allowed_proxy_headers: Several[addresses.HeaderName] = Field(
        (),
        description="Headers that backends get from every client, though they are among those that are dropped unless "
        'one of `trusted_proxies` sends them ("What backends receive").',
        examples=["x-http-method-override"],
    )

    @field_validator("allowed_proxy_headers")
    @classmethod
    def _are_of_proxies(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name.encode() in WRITTEN_HERE:
                raise refuse(f"the gateway itself sends {name} to backends; remove it")
            if not is_of_proxies(name.encode()):
                raise refuse(f"backends get {name} from every client as it is; remove it")
        return names

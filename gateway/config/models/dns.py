"""How names are asked for, where the endpoints of a service are found by DNS."""

from ipaddress import ip_address
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gateway.config.models.base import Section
from gateway.config.values import addresses
from gateway.config.values.kinds import Kind, Several, Unset, as_list, refuse
from gateway.config.values.quantities import Duration

SHORTEST: Final = 1.0  # seconds


def _name(text: str) -> str:
    name = addresses.parse_host_name(text)
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return name
    raise refuse("this is an address, which no name server is asked for; write it under endpoints")


def _server(text: str) -> str:
    """With its port."""
    bare = text.count(":") > 1 and not text.startswith("[")
    host, colon, port = (text, "", "") if bare or text.endswith("]") else text.rpartition(":")
    host, port = (host, port) if colon else (text, "53")
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        raise refuse("a name server is an IP address, such as 10.0.0.2 or 127.0.0.1:5353") from None
    host, number = addresses.parse_address(f"[{host}]:{port}" if ":" in host and host[0] != "[" else f"{host}:{port}")
    return f"[{host}]:{number}" if ":" in host else f"{host}:{number}"


def _not_shorter(seconds: float) -> float:
    if seconds < SHORTEST:
        raise refuse("a name is asked for at most once a second; write at least 1s")
    return seconds


DnsName = Annotated[str, Kind("host"), AfterValidator(_name)]
RecordType = Literal["A", "AAAA", "SRV"]
NameServer = Annotated[str, Kind("address, or address:port"), AfterValidator(_server)]
NameServersOrOne = Annotated[Several[NameServer], BeforeValidator(as_list)]
TtlDuration = Annotated[Duration, AfterValidator(_not_shorter)]


class DnsTtl(Section):
    """How long answers of name servers are used."""

    min: TtlDuration = Field(SHORTEST, description="At least so long, where the TTL is shorter.")
    max: TtlDuration = Field(3600, description="At most so long, where the TTL is longer.")
    override: Unset[TtlDuration] = Field(None, description="So long, whatever the TTL is.")

    @model_validator(mode="after")
    def _is_a_range(self) -> "DnsTtl":
        if self.min > self.max:
            raise refuse("min is more than max; exchange them")
        return self

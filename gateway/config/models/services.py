"""Backends of several endpoints."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from gateway.config.models.balance import Balance, BalanceConfig
from gateway.config.models.base import Late, Model, Section
from gateway.config.models.concurrency import ConcurrencyOfService
from gateway.config.models.discovery import Discovery
from gateway.config.models.health import Health, Outliers, OutliersOrOff
from gateway.config.values import addresses
from gateway.config.values.kinds import Kind, SomeOf, Text, Unset, refuse, shorthand
from gateway.config.values.quantities import Duration, DurationOrZero, Percent


class EndpointConfig(Model):
    """One address of a service. A bare text is the same as `address`."""

    address: addresses.AddressText = Field(
        description="`host:port`; an IPv6 address as `[::1]:80`.", examples=["10.0.0.1:8080"]
    )
    weight: int = Field(
        1,
        ge=0,
        le=1000,
        description="Share of the requests, relative to the other endpoints. "
        "0: no new requests; those in progress continue.",
    )
    zone: Text = Field("", description="Where the endpoint is. Empty: not known.")
    priority: int = Field(
        0, ge=0, le=15, description="Requests go to the endpoints of the lowest number while enough of them are up."
    )


Endpoint = Annotated[
    Late[EndpointConfig],
    Kind("host:port, or keys below"),
    BeforeValidator(shorthand("address"), json_schema_input_type=addresses.AddressText | Late[EndpointConfig]),
]


class Tls(Section):
    """How the certificates of an https service are verified, and which one its endpoints are shown."""

    ca: Unset[Text] = Field(
        None,
        description="File with the certificates to trust (PEM), relative to the configuration directory. "
        "Unset: those of the system.",
    )
    server_name: Unset[addresses.HostName] = Field(
        None, description="Name that the certificate must carry. Unset: the host of the endpoint."
    )
    verify: bool = Field(
        True, description="Verify the certificate. Off only for experiments: any server can then pose as this one."
    )
    certificate_file: Unset[Text] = Field(
        None,
        description="File with the certificate that the gateway shows to endpoints that demand one (mutual TLS), and "
        "those between it and its authority (PEM), relative to the configuration directory. Not without `key_file`.",
    )
    key_file: Unset[Text] = Field(
        None,
        description="File with the private key of `certificate_file` (PEM), not encrypted. It may be the same file.",
    )

    @field_validator("certificate_file", "key_file", mode="before")
    @classmethod
    def _is_a_file(cls, value: Any) -> Any:
        if isinstance(value, str) and "-----BEGIN" in value:
            message = "expected the name of a file; put this into one, and name that"
            raise PydanticCustomError("pointed", "{message}{hint}", {"message": message, "hint": ""})  # without the key
        return value

    @model_validator(mode="after")
    def _has_both(self) -> "Tls":
        if (self.certificate_file is None) != (self.key_file is None):
            missing = "certificate_file" if self.certificate_file is None else "key_file"
            raise refuse(f'a certificate is shown with its key; add "{missing}"')
        return self


class Connections(Section):
    """Connections to each endpoint of a service."""

    max: int = Field(512, ge=1, le=65535, description="Connections to one endpoint at a time.")
    pending: int = Field(
        1024,
        ge=0,
        le=1_000_000,
        description="Requests that wait for a connection; those beyond it are a 503 (`concurrency-limit`).",
    )
    idle: int = Field(128, ge=0, le=65535, description="Connections kept open for reuse.")
    idle_timeout: Duration = Field(
        60,
        description="How long an unused connection is kept. Requests that must not be sent twice (POST, PATCH, and all "
        "with a body) use none that the endpoint may be about to close: when it does is learned for each.",
    )
    max_age: Duration = Field(3600, description="How long after it was opened a connection is kept.")
    max_requests: Unset[int] = Field(
        None, ge=1, description="Requests that one connection serves before it is closed. Unset: any number."
    )


class ServiceConfig(Model):
    """A backend of several endpoints, which routes name as their target."""

    endpoints: SomeOf[Endpoint] = Field(
        (),
        description="The addresses, at least one. Every service has this or `discovery`.",
        examples=[["10.0.0.1:8080"]],
    )
    discovery: Unset[Late[Discovery]] = Field(
        None, description="Where the endpoints are found, instead of `endpoints`."
    )
    balance: BalanceConfig = Field(
        Balance.unset(),
        description="The load balancer; default `least_request`.",
        examples=["least_request", "round_robin"],
    )
    slow_start: DurationOrZero = Field(
        0,
        description="How long the share of an endpoint grows, from a tenth, when it is new or up again. 0: it has its "
        "whole share at once.",
    )
    panic: Percent = Field(
        50,
        description="Where fewer endpoints of a priority are up, and all priorities together cannot take the requests, "
        "all its endpoints are used, up or not. 0: never.",
    )
    protocol: addresses.Protocol = Field("http", description="Protocol of the endpoints.")
    tls: Late[Tls] = Field(Tls.unset(), description="Certificates, for `protocol: https`.")
    connections: Late[Connections] = Field(Connections.unset(), description="Limits of connections to each endpoint.")
    health: Unset[Late[Health]] = Field(
        None,
        description="Active health checks. Unset: only the results of requests count.",
        examples=[{"path": "/health", "interval": "10s", "timeout": "2s"}],
    )
    outliers: OutliersOrOff = Field(
        Outliers.unset(),
        description="Outlier detection: endpoints that fail requests, or do not answer, are ejected for a while. "
        "`off`: never.",
        examples=[{"consecutive": 5, "interval": "10s", "base_ejection": "30s", "max_ejected": "50%"}],
    )

    concurrency: Unset[ConcurrencyOfService] = Field(
        None, description="How many requests it has at once. Unset: as many as come.", examples=[200]
    )

    @model_validator(mode="after")
    def _has_a_source(self) -> "ServiceConfig":
        if bool(self.endpoints) == (self.discovery is not None):
            raise refuse("a service has either endpoints or discovery; give one of them")
        return self

    @field_validator("tls")
    @classmethod
    def _is_https(cls, value: Tls, info: ValidationInfo) -> Tls:
        if value.model_fields_set and info.data.get("protocol") == "http":
            raise refuse('"tls" has an effect only with "protocol: https"; add that, or remove "tls"')
        return value

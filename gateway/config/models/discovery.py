"""Where the endpoints of a service are found, in place of a list in the file."""

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from gateway.config.models.agents import Prefix
from gateway.config.models.base import Model
from gateway.config.models.dns import DnsName, DnsTtl, NameServersOrOne, RecordType
from gateway.config.models.kubernetes import Kubernetes
from gateway.config.models.registries import Consul, Etcd
from gateway.config.values.addresses import Network, ServiceName
from gateway.config.values.kinds import Kind, Several, Text, Unset, refuse
from gateway.config.values.quantities import Duration, DurationOrZero

SOURCES = ("file", "dns", "kubernetes", "etcd", "consul", "redis", "registered", "agents")
OF_DNS = ("port", "type", "server", "ttl", "hold_missing")


class Discovery(Model):
    """Where the endpoints of a service are found. Exactly one source."""

    file: Unset[Text] = Field(
        None,
        description="A file with a list of instances (YAML or JSON), relative to the configuration directory. It is "
        "watched: a change is used within a second, without a reload.",
        examples=["registry/legacy.yaml"],
    )
    dns: Unset[DnsName] = Field(
        None,
        description="A name that name servers know: each of its addresses is an endpoint. It is asked for again before "
        "the answer expires. A name with a dot is absolute; one without is found as the system does.",
        examples=["orders.shop.svc.cluster.local"],
    )
    port: Unset[int] = Field(None, ge=1, le=65535, description="The port at the addresses of `dns`.")
    type: Unset[RecordType] = Field(
        None, description="Records of `dns`. Unset: A and AAAA. SRV: they say the ports, weights and priorities."
    )
    server: NameServersOrOne = Field(
        (), description="The name servers of `dns`, such as `10.0.0.2` or `127.0.0.1:5353`. Empty: the system's."
    )
    ttl: DnsTtl = Field(DnsTtl.unset(), description="How long answers of `dns` are used.")
    hold_missing: Duration = Field(
        10,
        description="An instance missing in answers of `dns` is removed after three of them, or after this time.",
    )
    kubernetes: Unset[Kubernetes] = Field(None, description="A service in Kubernetes.")
    etcd: Unset[Etcd] = Field(None, description="Keys of etcd.")
    consul: Unset[Consul] = Field(None, description="A service in Consul.")
    redis: Unset[ServiceName] = Field(
        None,
        description="Instances that register themselves in the `redis` of middleware.yaml, under this name, and say "
        "again and again that they live.",
        examples=["jobs"],
    )
    registered: Unset[Annotated[bool, Kind("`true`")]] = Field(
        None,
        description="Instances that the admin API registers (`POST /registry`). They are kept in the state directory, "
        "and shared with all gateways of the same `redis`, if middleware.yaml has one.",
    )

    agents: Unset[Prefix] = Field(
        None,
        description="The service of this name, as the agent `PREFIX-discovery` publishes it, and the bridge brings it: "
        "docs/agents.md.",
        examples=["acme"],
    )

    @field_validator("registered")
    @classmethod
    def _is_true(cls, registered: bool | None) -> bool | None:
        if registered is False:
            raise refuse("registered is true, or is not there: name another source instead")
        return registered

    @property
    def source(self) -> str:
        """The key of its source."""
        return next(source for source in SOURCES if getattr(self, source) is not None)

    hold_empty: DurationOrZero = Field(
        30,
        description="When the source says that there are no instances any more, the last ones stay in use for so long.",
    )
    allowed_networks: Several[Network] = Field(
        (),
        description="Networks where the instances must be. Others are not used, nor are instances with a name instead "
        "of an address. Empty: anywhere. Link-local, metadata and reserved addresses are used only where they are "
        "named here: by a network that has nothing else, such as 169.254.0.0/16.",
        examples=[["10.0.0.0/8"]],
    )
    first_answer: DurationOrZero = Field(
        10, description="When the gateway starts, it is not ready before the source has answered, or this time is over."
    )

    @model_validator(mode="after")
    def _is_one(self) -> "Discovery":
        if sum(getattr(self, source) is not None for source in SOURCES) != 1:
            raise refuse(f"discovery needs exactly one source: {', '.join(SOURCES)}")
        given = [key for key in OF_DNS if key in self.model_fields_set]
        if self.dns is None and given:
            raise refuse(f'"{given[0]}" has an effect only with "dns"; remove it')
        if self.dns is not None and (self.port is None) != (self.type == "SRV"):
            raise refuse("dns needs a port, or type: SRV, whose records say the ports")
        return self

"""The registries that are asked for the instances of a service."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from gateway.config.models.base import Model
from gateway.config.values.addresses import HttpUrl
from gateway.config.values.kinds import Kind, SomeOf, Text, Unset, as_list, refuse

Secret = Annotated[SecretStr, Kind("text")]
Ca = Field(
    None,
    description="File with the certificates to trust (PEM), relative to the configuration directory. "
    "Unset: those of the system.",
)


def secret_text(value: Any) -> SecretStr:
    """A validator of secrets that are sent in a header or in JSON."""
    if isinstance(value, str) and value.isascii() and value.isprintable():
        return SecretStr(value)
    raise refuse("expected a text of plain characters")


class Etcd(Model):
    """Instances under a prefix of etcd (3.4 or newer), whose JSON gateway is asked."""

    url: Annotated[
        SomeOf[HttpUrl],
        Kind("URL, or list of them"),
        BeforeValidator(as_list, json_schema_input_type=str | list[str]),
    ] = Field(
        description="Where it is. Of several members of one cluster, the next is asked where one fails.",
        examples=["http://127.0.0.1:2379"],
    )
    prefix: Text = Field(
        description="The prefix of the keys. The value of each is an instance: `host:port`, or JSON with `host`, "
        "`port`, and if need be `weight`, `zone`, `priority` and `health`.",
        examples=["/services/stock/"],
    )
    user: Unset[Text] = Field(None, description="By which name to log in, where etcd asks for that.")
    password: Unset[Secret] = Field(None, description="Its password: `${ETCD_PASSWORD}`, not the text itself.")
    ca: Unset[Text] = Ca

    _is_text = field_validator("password", mode="before")(secret_text)

    @field_validator("prefix")
    @classmethod
    def _is_some(cls, prefix: str) -> str:
        if not prefix:
            raise refuse("without a prefix every key of etcd would be an instance; write one, such as /services/stock/")
        return prefix

    @model_validator(mode="after")
    def _has_both(self) -> "Etcd":
        if (self.user is None) != (self.password is None):
            raise refuse("user and password belong together; add the other one")
        return self


class Consul(Model):
    """Instances in Consul, with the health that it knows of them."""

    url: HttpUrl = Field(description="An agent.", examples=["http://127.0.0.1:8500"])
    service: Text = Field(description="The name of the service in Consul.", examples=["mail"])
    tag: Unset[Text] = Field(None, description="Only instances with this tag.")
    datacenter: Unset[Text] = Field(None, description="Unset: that of the agent.")
    stale: bool = Field(
        True, description="Let any server answer, which may be some milliseconds behind. Off: only the leader does."
    )
    token: Unset[Secret] = Field(None, description="An ACL token: `${CONSUL_TOKEN}`, not the text itself.")
    ca: Unset[Text] = Ca

    _is_text = field_validator("token", mode="before")(secret_text)

    @field_validator("service")
    @classmethod
    def _is_named(cls, service: str) -> str:
        if not service:
            raise refuse("the name of the service in Consul is needed, such as mail")
        return service

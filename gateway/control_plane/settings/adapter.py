"""control-plane.yaml: `gateway.adapter`, by which the control plane reaches gateways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from gateway.config.models.base import Model, Section
from gateway.config.values.kinds import Kind, Several, Text, TextLike, Unset, accepted_by, as_list, refuse, shorthand
from gateway.config.values.quantities import Duration
from gateway.control_plane.adapters.networks import DEFAULT, check_entry

ImportPath = Annotated[
    str,
    TextLike("import path", r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", "expected module:Class, such as ours.adapters:Cloud"),
]
Secret = Annotated[SecretStr, Kind("text")]
NetworkOrWord = Annotated[str, Kind("network, or word"), accepted_by(check_entry)]
Networks = Annotated[
    Several[NetworkOrWord], BeforeValidator(as_list, json_schema_input_type=NetworkOrWord | list[NetworkOrWord])
]
"""The key `networks`: networks such as `10.0.0.0/8`, and the words `private`, `names` and `loopback`."""


def _check_url(text: str) -> None:
    try:
        parts = urlsplit(text)
        right = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right or not text.isascii() or not text.isprintable() or " " in text or "@" in parts.netloc:
        raise refuse("expected a URL that begins with https:// or http://, without user and password")
    if parts.query or parts.fragment:
        raise refuse("a base URL has no ? and no #")


Url = Annotated[Text, Kind("URL"), accepted_by(_check_url)]


class RetryPolicy(Section):
    """How often a call is tried. What may have been done already is looked up before it is asked for again."""

    max_attempts: int = Field(3, ge=1, le=10, description="The first one included.")
    backoff_multiplier: float = Field(
        2, ge=1, le=10, description="By how much each pause is longer than the one before."
    )
    max_backoff: Duration = Field(30, le=3600, description="The longest pause.")


class HealthCheck(Section):
    """How gateways are probed."""

    interval: Duration = Field(30, ge=1, le=86400, description="Between two probes of a gateway.")
    timeout: Duration = Field(
        default_factory=lambda given: min(5.0, given.get("interval", 30.0)),
        ge=0.01,
        description="For each probe. Unset: 5 s, or `interval` where that is less.",
    )

    @model_validator(mode="after")
    def _ends_in_time(self) -> Self:
        if self.timeout > self.interval:
            raise refuse("timeout is longer than interval, so that probes come late; shorten it, or lengthen interval")
        return self


class Calls(Section):
    """How gateways, or their provider, are asked."""

    default_timeout: Duration = Field(30, le=3600, description="For each attempt of a call.")
    retry_policy: RetryPolicy = RetryPolicy()
    health_check: HealthCheck = HealthCheck()
    ca: Unset[Text] = Field(None, description="A file of certificates to trust, in place of the system's.")


class OnPremise(Calls):
    """Gateways that are there already: `adapterConfig.controlPlaneUrl` says where."""


class OAuth2(Model):
    """Client credentials (RFC 6749, 4.4)."""

    type: Literal["oauth2"]
    client_id: Text
    client_secret: Secret
    token_url: Unset[Url] = Field(None, description="Unset: `oauth2/token` below `apiEndpoint`.")
    scope: Unset[Text] = None


class Cloud(Calls):
    """Gateways that a provider makes."""

    provider: Text = Field("generic", description="Its name in messages.")
    api_endpoint: Url
    authentication: Unset[OAuth2] = None
    default_region: Unset[Text] = Field(None, max_length=64)
    provisioning_timeout: Duration = Field(
        1800, description="For a gateway to become active; then it counts as failed."
    )


class Custom(Calls):
    """An adapter of your own: a class that is made with `options`, and has the methods of `Adapter`."""

    class_: ImportPath = Field(alias="class")
    options: Mapping[str, Any] = Field({}, description="Settings for the class.")


class AdapterSettings(Section):
    """The adapter of this process; there is one."""

    type: Literal["on-premise", "cloud", "custom"] = "on-premise"
    on_premise: OnPremise = OnPremise()
    cloud: Unset[Cloud] = None
    custom: Annotated[
        Unset[Custom], BeforeValidator(shorthand("class"), json_schema_input_type=ImportPath | Custom)
    ] = None

    @property
    def calls(self) -> Calls:
        """Time limits, retries and health checks of the adapter that is used."""
        chosen = {"on-premise": self.on_premise, "cloud": self.cloud, "custom": self.custom}[self.type]
        return chosen or Calls()

    @model_validator(mode="after")
    def _chosen(self) -> Self:
        if self.type == "cloud" and self.cloud is None:
            raise refuse("`type: cloud` needs `cloud`, with `apiEndpoint`")
        if self.type == "custom" and self.custom is None:
            raise refuse("`type: custom` needs `custom`: module:Class")
        return self


DEFAULT_NETWORKS: Networks = DEFAULT

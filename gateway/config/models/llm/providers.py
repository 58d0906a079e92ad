"""models.yaml: who answers, and with whose keys."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from gateway.config.models.base import Section
from gateway.config.models.breakers import Breaker, BreakerOfRoute
from gateway.config.models.health import Health
from gateway.config.models.llm.values import ModelPatterns
from gateway.config.models.llm.well_known import WELL_KNOWN, Protocol
from gateway.config.models.timeouts import TimeoutsOfRoute
from gateway.config.values.addresses import HttpUrl, ServiceName
from gateway.config.values.kinds import Kind, SomeOf, Unset, as_list, refuse

Translated = Literal["chat", "messages", "responses"]


def _secret(value: Any) -> Any:
    if not isinstance(value, str):
        raise refuse("expected a text")
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise refuse("a key is visible ASCII characters, at least one; it is sent in a header")
    if len(value) > 8192:
        raise refuse("a key is at most 8192 characters")
    return SecretStr(value)


ProviderKey = Annotated[SecretStr, Kind("text"), BeforeValidator(_secret, json_schema_input_type=str)]


class Provider(Section):
    """A provider of models. `openai`, `anthropic` and `google` need nothing but their keys; any other has a `protocol`,
    and either `base_url` or `service`."""

    protocol: Unset[Protocol] = Field(
        None, description="Its protocol. Unset: that of the provider of this name.", examples=["openai"]
    )
    base_url: Unset[HttpUrl] = Field(
        None,
        description="Its base URL, as its SDK takes it: for OpenAI and compatible APIs with the version "
        "(`https://llm.example.com/v1`), of the others without. A URL without a path stands for the usual paths.",
        examples=["https://llm.example.com/v1"],
    )
    service: Unset[ServiceName] = Field(
        None,
        description="A service of routes.yaml in place of `base_url`, with its health, balancing and TLS.",
        examples=["llama"],
    )
    keys: Annotated[
        SomeOf[ProviderKey],
        Kind("text, or list of texts"),
        BeforeValidator(as_list, json_schema_input_type=str | list[str]),
    ] = Field(
        (),
        description="Its keys, of which one is sent with each request in place of the client's: `${OPENAI_KEY}`, not "
        "the text itself. A key that is refused, or over its limit, is left out for a while. None: nothing is sent.",
        examples=[["${OPENAI_KEY}"]],
    )
    models: ModelPatterns = Field(
        (),
        description="The names of models that it offers; `*` stands for any text. Only names without `*` are listed "
        "by `GET /v1/models`. Unset: those of the provider of this name, or every name.",
        examples=[["small", "llama-*"]],
    )
    weight: int = Field(
        1,
        ge=0,
        le=1000,
        description="Share of the requests among providers that are equally preferred. 0: no new ones.",
    )
    breaker: BreakerOfRoute = Field(
        Breaker.model_construct(profile="llm"),
        description="When it is left alone for a while: `llm`, unless another one is named.",
    )
    timeout: Unset[TimeoutsOfRoute] = Field(
        None,
        description="Time limits of one attempt. A bare duration is the same as `total`. Unset: those of the route.",
    )
    health: Unset[Health] = Field(
        None,
        description="Active health checks, with `base_url`. Unset: only the results of requests count; calls of models "
        "cost money.",
        examples=[{"path": "/v1/models", "interval": "30s", "timeout": "5s"}],
    )
    translate: SomeOf[Translated] = Field(
        (),
        description="Requests in another protocol than its own that are translated for it: `messages` and `responses` "
        "for one that speaks `openai`, `chat` for one that speaks `anthropic`. Empty: only its own protocol.",
    )
    unsupported: Literal["fail", "drop"] = Field(
        "fail",
        description="The handling of a field that cannot be translated: `fail`: a 400 that names it; `drop`: it is "
        "left out, and listed in the header `X-Gateway-Dropped`.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "Provider":
        if self.base_url is not None and self.service is not None:
            raise refuse("base_url and service exclude each other; remove one of them")
        if self.base_url is not None and "?" in self.base_url:
            raise refuse("a base_url has no query; remove what begins with ?")
        if self.service is not None and self.health is not None:
            raise refuse("the health of a service is set at the service in routes.yaml; move it there")
        return self

    @property
    def speaks(self) -> Protocol:
        """Its protocol; of one in force, which has it."""
        assert self.protocol is not None
        return self.protocol

    @property
    def origin(self) -> str:
        """`https://host[:port]`, of a provider with a base_url; else empty."""
        parts = urlsplit(self.base_url or "")
        return f"{parts.scheme}://{parts.netloc}" if self.base_url else ""

    def path_of(self, path: str) -> str:
        """The path that it is asked for, of the usual one: `/openai/v1/chat/completions`, of `/v1/chat/completions`."""
        base = urlsplit(self.base_url or "").path.rstrip("/")
        if not base:
            return path
        if self.protocol == "openai":
            return base + path.removeprefix("/v1")
        return base.removesuffix("/v1").removesuffix("/v1beta") + path


def in_force(name: str, provider: Provider) -> Provider:
    """A provider with what is known of this name in the place of what it does not say."""
    known = WELL_KNOWN.get(name)
    if known is None:
        return provider if provider.models else provider.model_copy(update={"models": ("*",)})
    elsewhere = provider.base_url is not None or provider.service is not None
    own_protocol = provider.protocol in (None, known.protocol)
    models = known.models if own_protocol and not elsewhere else ("*",)
    return provider.model_copy(
        update={
            "protocol": provider.protocol or known.protocol,
            "base_url": provider.base_url if elsewhere else known.base_url,
            "models": provider.models or models,
        }
    )

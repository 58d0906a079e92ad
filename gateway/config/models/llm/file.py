"""models.yaml as a whole."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr

from gateway.config.models.base import Section
from gateway.config.models.llm.budgets import Budget
from gateway.config.models.llm.guardrails import Guardrail
from gateway.config.models.llm.mcp import McpEndpoint
from gateway.config.models.llm.prices import Prices
from gateway.config.models.llm.providers import Provider, in_force
from gateway.config.models.llm.routing import ModelRouting
from gateway.config.models.llm.tool_quotas import ToolQuota
from gateway.config.models.llm.values import ModelName, NamesByProvider
from gateway.config.models.llm.well_known import WELL_KNOWN
from gateway.config.models.policy import Named
from gateway.config.values.addresses import HeaderName
from gateway.config.values.kinds import Kind, SomeOf, Text, Unset, refuse, shorthand
from gateway.config.values.quantities import DurationOrZero, Size

ContentMode = Literal["none", "hash", "redacted", "full"]


def _long(value: object) -> SecretStr:
    if isinstance(value, str) and len(value) >= 16:
        return SecretStr(value)
    raise refuse("expected a text of at least 16 characters")


class OpenClawGateway(Section):
    """Settings of the gateway itself in such files elsewhere."""

    bind: Unset[Text] = Field(None, description="Not used: `--host` and `--port` of `gateway serve` set the address.")
    request_timeout_ms: Unset[Annotated[int, Field(ge=1, le=366 * 24 * 3600 * 1000)]] = Field(
        None, description="How long a request to a model may take in all, in milliseconds. Unset: as for other routes."
    )


class Content(Section):
    """Whether prompts and answers are in the access log and in spans."""

    mode: ContentMode = Field(
        "none",
        description="`none`; `hash`: their SHA-256; `redacted`: as the guardrails leave them, and hashed where none "
        "has looked; `full`: as they are.",
    )
    routes: dict[Text, ContentMode] = Field({}, description="The same for some routes, by their ids.")
    max_size: Size = Field(16 * 1024, description="How much of a prompt or answer, at most.")
    never_of: SomeOf[Text] = Field((), description="Tenants of which nothing is logged, whatever the other keys say.")


class Affinity(Section):
    """Which requests go to the same provider and key: what a provider has made (ids, signatures, files) is known to it
    alone, and what it has read before is cheaper there."""

    headers: SomeOf[HeaderName] = Field(
        ("x-claude-code-session-id", "session_id", "x-session-id"),
        description="Headers that name a session, of which the first that is there counts; "
        "`prompt_cache_key` of the body goes before them.",
    )
    secret: Unset[Annotated[SecretStr, Kind("text"), BeforeValidator(_long)]] = Field(
        None,
        description="The secret that encrypts ids, the same for all gateways that serve the same clients: "
        "`${AFFINITY_SECRET}`, not the text itself; at least 16 characters. Unset: one that is made at the first "
        "start and kept in the file `models-key` of `state_directory`.",
    )


class ModelsFile(Section):
    """Models of several providers behind one door: see docs/models.md. The file is optional; it may be JSON, and keys
    may be written in camelCase, too: `preferProviders`."""

    model_routing: ModelRouting = Field(ModelRouting.unset(), description="Which profile a request gets.")
    providers: Named[Provider] = Field(
        {}, description="The providers, by their names.", examples=[{"openai": {"keys": ["${OPENAI_KEY}"]}}]
    )
    aliases: dict[ModelName, NamesByProvider] = Field(
        {},
        description="Aliases of models: for each, its name at each provider.",
        examples=[{"default-chat": {"openai": "gpt-5", "anthropic": "claude-sonnet-5"}}],
    )
    prices: Prices = Field(Prices.unset(), description="Prices of tokens.")
    budgets: Named[Budget] = Field({}, description="How much callers may use, by name.")
    tool_quotas: Named[ToolQuota] = Field({}, description="How often tools may be called, by name.")
    mcp: Named[McpEndpoint] = Field({}, description="MCP servers behind one endpoint, by name.")
    guardrails: Named[Guardrail] = Field(
        {}, description="Policies on prompts and answers, by name; profiles refer to them."
    )
    gateway: OpenClawGateway = Field(OpenClawGateway.unset(), description="Keys of other gateways in such a file.")
    affinity: Affinity = Field(Affinity.unset(), description="Which requests go to the same provider and key.")
    on_disconnect: Literal["cancel", "drain"] = Field(
        "cancel",
        description="The handling of a stream whose client disconnected: `cancel`: it is ended, and the received part "
        "is counted; `drain`: it is read to its end, for an exact bill.",
    )
    drains: int = Field(100, ge=0, le=100_000, description="With `drain`: streams at a time; others are cancelled.")
    hold_size: Size = Field(
        64 * 1024, description="How much of the beginning of a stream is held back until it has content."
    )
    hold_time: DurationOrZero = Field(5, le=60, description="And for how long. 0: not at all.")
    max_body: Size = Field(
        32 * 1024**2, description="The largest request body in JSON, which is read before it is sent."
    )
    max_upload: Size = Field(
        512 * 1024**2,
        description="The largest form (`multipart/form-data`): files, sound and pictures, which are sent as they come. "
        "`max_body` of a route, or of its defaults, goes before both.",
    )
    content: Annotated[Content, BeforeValidator(shorthand("mode"), json_schema_input_type=ContentMode | Content)] = (
        Field(Content.unset(), description="Whether prompts and answers are in the access log and in spans.")
    )
    list_stored: bool = Field(
        False,
        description="Pass on `GET /v1/chat/completions`, and lists of files and batches, of what all callers have "
        "stored with the key of the provider. Unset, only callers without an identity get it, on routes that anybody "
        "may use.",
    )
    response_headers: bool = Field(
        True,
        description="Name the answering provider in headers of the response: `X-Gateway-Model-Backend`, "
        "`X-Gateway-Profile`, `X-Gateway-Switched`.",
    )

    @property
    def in_force(self) -> Mapping[str, Provider]:
        """The providers by name, in the order of the file, then those that are only named elsewhere and well known;
        each with all that is known of it."""
        named = (name for name in self._named if name in WELL_KNOWN and name not in self.providers)
        every = {**self.providers, **dict.fromkeys(named, Provider())}
        return {name: in_force(name, provider) for name, provider in every.items()}

    @property
    def stores(self) -> Mapping[tuple[str, str], tuple[str, str]]:
        """Where budgets and quotas of tools are kept, by their places: the kind of store, and its file."""
        budgets = {("budgets", name): (each.store, each.file) for name, each in self.budgets.items()}
        return budgets | {("tool_quotas", name): (each.store, each.file) for name, each in self.tool_quotas.items()}

    @property
    def secrets(self) -> Iterator[SecretStr]:
        """All that is secret in it."""
        for provider in self.providers.values():
            yield from provider.keys
        if self.affinity.secret is not None:
            yield self.affinity.secret
        for endpoint in self.mcp.values():
            if endpoint.secret is not None:
                yield endpoint.secret
            for server in endpoint.servers:
                yield from server.headers.values()

    @property
    def _named(self) -> list[str]:
        """Every name of a provider that profiles and aliases have."""
        names: dict[str, None] = {}
        for profile in self.model_routing.profiles.values():
            names |= dict.fromkeys((*profile.prefer_providers, *(choice.name for choice in profile.providers)))
            names |= dict.fromkeys(name for alias in profile.aliases.values() for name in alias)
        return list(names | dict.fromkeys(name for alias in self.aliases.values() for name in alias))

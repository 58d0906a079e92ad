"""auth.yaml: who may call."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WrapValidator

from gateway.config.models.auth.consumers import ConsumerConfig, IdentityHeaders
from gateway.config.models.auth.plain_consumers import Consumer, PlainConsumer
from gateway.config.models.auth.scheme_keys import SchemeName, SchemeNames
from gateway.config.models.auth.schemes import SchemeConfig
from gateway.config.models.base import Late, Section
from gateway.config.values import addresses
from gateway.config.values.instants import Zone
from gateway.config.values.kinds import Several, or_empty


def _as_read(value: Any, check: Callable[[Any], ConsumerConfig]) -> Consumer:
    """What was checked while the file was read is not checked again."""
    return value if isinstance(value, PlainConsumer) else check(value)


class AuthFile(Section):
    """Who may call, and which proxies are trusted. The file is optional, as is all in it."""

    trusted_proxies: Annotated[
        Several[addresses.Network],
        BeforeValidator(or_empty([]), json_schema_input_type=list[addresses.Network] | None),
    ] = Field(
        (),
        description="Networks (CIDR) or addresses of proxies whose `X-Forwarded-*` and `Forwarded` are trusted: see "
        "What backends receive.",
    )
    identity_headers: Late[IdentityHeaders] = Field(
        IdentityHeaders.unset(), description="The headers that name the caller to a backend."
    )
    mode: Literal["enforce", "shadow"] = Field(
        "enforce", description="`shadow`: log what would be refused for want of a credential, and let it pass."
    )
    timezone: Zone = Field("UTC", description="Time zone of `time` in conditions, such as Europe/Berlin.")
    default: SchemeNames = Field(
        (), description="Schemes of the routes that do not name theirs, in order. None: those routes are open."
    )
    schemes: Annotated[
        dict[SchemeName, Late[SchemeConfig]],
        BeforeValidator(or_empty({}), json_schema_input_type=dict[str, Late[SchemeConfig]] | None),
    ] = Field({}, description="Authentication schemes, by name.")
    consumers: Annotated[
        Several[Annotated[Late[ConsumerConfig], WrapValidator(_as_read)]],
        BeforeValidator(or_empty([]), json_schema_input_type=list[Late[ConsumerConfig]] | None),
    ] = Field((), description="Consumers: known callers.")

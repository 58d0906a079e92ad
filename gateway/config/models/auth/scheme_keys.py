"""Keys that several schemes share."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from gateway.config.models.base import Section
from gateway.config.values import addresses
from gateway.config.values.kinds import Kind, Several, Text, TextLike, Unset, as_list

SchemeName = Annotated[
    str,
    TextLike(
        "scheme name",
        "[A-Za-z][A-Za-z0-9_-]{0,62}",
        "the name of a scheme is a letter, then letters, digits, hyphens and underscores, at most 63",
    ),
]
Realm = Annotated[
    str,
    TextLike("text", r"[ !#-\[\]-~]{1,100}", "a realm is 1 to 100 plain characters, without quotes and backslashes"),
]
ProtocolName = Annotated[
    str,
    TextLike(
        "text",
        "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,60}",
        "a WebSocket subprotocol begins with letters, digits, dots and hyphens, at most 60: such as bearer",
    ),
]
CookieName = Annotated[
    str,
    TextLike("cookie name", "[!#$%&'*+.^_`|~0-9A-Za-z-]+", "the name of a cookie is letters, digits and hyphens"),
]
SchemeNames = Annotated[
    Several[SchemeName],
    Kind("scheme name, or list of them"),
    BeforeValidator(as_list, json_schema_input_type=str | list[str]),
]
REALM = Field("gateway", description="The realm that a 401 names.")
FORWARD = Field(
    False,
    description="Send the credential to the backend, too. Off: it ends here; the backend gets the name of the caller.",
)


class Claims(Section):
    """Which claims say what. A claim within another is written with a dot: `realm_access.roles`."""

    consumer: Text = Field("sub", description="The name of the consumer.")
    tenant: Unset[Text] = Field(None, description="The tenant.")
    groups: Unset[Text] = Field(None, description="The groups: a list of texts, or one text.")
    scopes: Text = Field("scope", description="The scopes: a text with spaces between them, or a list of texts.")


class TokenFrom(Section):
    """Where a token may be, beside `Authorization: Bearer`, which browsers do not send on WebSockets and event streams.

    What is found there ends at the gateway, and is in no log. Two places with different tokens are a 400.
    """

    header: Unset[addresses.OwnHeader] = Field(
        None, description="Another header that holds the token, with or without `Bearer` in front."
    )
    cookie: Unset[CookieName] = Field(
        None,
        description="Cookie that holds the token. Other sites can make browsers send it: give it `SameSite=Strict`, or "
        "check `Origin`.",
    )
    query: Unset[Text] = Field(
        None,
        description="Query parameter that holds the token. Histories of browsers and logs of others keep it: such "
        "tokens should be short-lived.",
    )
    websocket_protocol: Unset[ProtocolName] = Field(
        None,
        description="How an entry of `Sec-WebSocket-Protocol` begins that holds the token: with `bearer`, the "
        "browser's `new WebSocket(url, ['bearer.' + token, 'chat'])`. The backend gets the other entries, of which it "
        "must select one; a browser that offers nothing but the token gives up.",
    )


TOKEN_FROM = Field(TokenFrom.unset(), alias="from", description="Where a token may be, beside `Authorization: Bearer`.")

"""models.yaml: MCP servers behind one path, and which of their tools may be called."""

from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from gateway.config.models.base import Model
from gateway.config.models.breakers import Breaker, BreakerOfRoute
from gateway.config.models.rate_limits import RateLimit
from gateway.config.values.addresses import HeaderName, HttpUrl, ServiceName, parse_target
from gateway.config.values.kinds import Kind, Several, SomeOf, Text, TextLike, Unset, as_list, refuse
from gateway.config.values.paths import BasePath
from gateway.config.values.quantities import Duration, Size
from gateway.http.fields import FRAMING_FIELDS

SEPARATOR = "__"
"""Between the name of a server and that of its tool, where several servers are one."""

"""Where clients ask what a protected server is (RFC 9728, 3.1): this, and then the path of the endpoint."""

_SENT = "/%:@!$&'()*+,;=~-._"  # as it is written, in a path (RFC 3986, 3.3)
_OURS = FRAMING_FIELDS | {b"host", b"mcp-session-id", b"mcp-protocol-version", b"last-event-id", b"accept"}


def _server_name(text: str) -> str:
    if SEPARATOR in text or text.endswith("_"):
        raise refuse("the name of a server has no __ and no _ at its end: __ stands between it and the name of a tool")
    return text


McpName = Annotated[
    str,
    TextLike(
        "name",
        "[A-Za-z0-9][A-Za-z0-9_-]{0,31}",
        "such a name is letters, digits, hyphens and underscores, at most 32",
    ),
    AfterValidator(_server_name),
]
ToolPattern = Annotated[
    str,
    TextLike(
        "name of a tool, or a pattern of names",
        "[!-~]{1,200}",
        "the name of a tool is 1 to 200 visible ASCII characters, without spaces; * stands for any text",
    ),
]
ToolPatterns = Annotated[
    Several[ToolPattern],
    Kind("pattern, or list of them"),
    BeforeValidator(as_list, json_schema_input_type=str | list[ToolPattern]),
]


def _header_value(value: Any) -> Any:
    if not isinstance(value, str):
        raise refuse("expected a text")
    if not value or not value.isascii() or not value.isprintable() or value != value.strip():
        raise refuse("the value of a header is visible ASCII characters, at least one")
    return SecretStr(value)


HeaderSecret = Annotated[SecretStr, Kind("text"), BeforeValidator(_header_value, json_schema_input_type=str)]


class McpTool(Model):
    """Settings of some tools of a server."""

    timeout: Unset[Duration] = Field(
        None, description="How long a call may take, until its result. Unset: the `timeout` of the server."
    )
    limit: Unset[RateLimit] = Field(
        None,
        description="How often they may be called, as `rate_limits` of middleware.yaml. All tools of one pattern count "
        "together.",
        examples=[{"limits": ["10/m"], "key": ["consumer"]}],
    )

    @model_validator(mode="after")
    def _is_for_tools(self) -> "McpTool":
        if self.limit is not None and not self.limit.model_fields_set.isdisjoint({"routes", "costs"}):
            raise refuse("routes and costs are for limits of routes; remove them here")
        return self


class McpServer(Model):
    """One MCP server, which speaks Streamable HTTP."""

    name: McpName = Field(
        description="Its name in logs and, with several servers, in front of its tools: `files__read`.",
        examples=["files"],
    )
    url: Unset[HttpUrl] = Field(None, description="Where it is, with its path.", examples=["http://127.0.0.1:7001/mcp"])
    service: Unset[ServiceName] = Field(
        None,
        description="A service of routes.yaml in place of `url`, with its health, balancing and TLS. A session stays "
        "with the endpoint that it began with.",
    )
    path: BasePath = Field("/mcp", description="With `service`: the path of the server.")
    allow: Unset[ToolPatterns] = Field(
        None,
        description="Tools that are listed and may be called; `*` stands for any text. Unset: all; an empty list: none",
        examples=[["read_*"]],
    )
    deny: ToolPatterns = Field(
        (), description="Tools that may not, whatever `allow` says, in any letter case.", examples=[["read_secret*"]]
    )
    headers: dict[HeaderName, HeaderSecret] = Field(
        {},
        description="Headers that it gets with every request in place of the client's, such as "
        "`Authorization: Bearer ${FILES_TOKEN}`.",
    )
    authorization: Unset[bool] = Field(
        None,
        description="Whether it gets an Authorization header of the client that no scheme of the route has used. "
        "Unset: where it is the only server of the endpoint.",
    )
    timeout: Duration = Field(
        300, description="How long it may take to answer a request; for a call of a tool, until its result."
    )
    breaker: BreakerOfRoute = Field(
        Breaker.model_construct(profile="long-tail"),
        description="When it is left alone for a while: `long-tail`, for tools that take minutes, unless another one "
        "is named.",
    )
    tools: dict[ToolPattern, McpTool] = Field(
        {},
        description="Settings of tools by name or pattern; the first match applies.",
        examples=[{"search_*": {"timeout": "2m", "limit": {"limits": ["10/m"]}}}],
    )

    @model_validator(mode="after")
    def _is_somewhere(self) -> "McpServer":
        if (self.url is None) == (self.service is None):
            raise refuse("either url or service is needed, such as url: http://127.0.0.1:7001/mcp")
        if self.url is not None and "?" in self.url:
            raise refuse("the url of a server has no query; remove what begins with ?")
        parse_target(self.target)
        if self.url is not None and "path" in self.model_fields_set:
            raise refuse("path is for a service; write it at the end of the url")
        if taken := sorted(name for name in self.headers if name.encode() in _OURS):
            raise refuse("a header is set by the gateway itself; remove it", f": {taken[0]}")
        return self

    @property
    def target(self) -> str:
        """The target as a route names it: a service, or `http://host:port`."""
        if self.service is not None:
            return self.service
        parts = urlsplit(self.url or "")
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def target_path(self) -> str:
        """The path that it is asked for."""
        return self.path if self.service is not None else quote(urlsplit(self.url or "").path or "/", safe=_SENT)


class McpEndpoint(Model):
    """MCP servers that clients see as one. A single one is passed through: its tools keep their names, and every
    message is what the client sent. Of several, tools and prompts are called `server__tool`, and resources
    `server+uri`.
    """

    servers: SomeOf[McpServer] = Field(description="The servers, in the order in which their tools are listed.")
    path: Annotated[BasePath, Field(min_length=1)] = Field("/mcp", description="Where clients find it.")
    secret: Unset[Annotated[SecretStr, Kind("text")]] = Field(
        None,
        description="The secret that encrypts session ids, the same for all gateways that serve the same clients: "
        "`${MCP_SECRET}`, not the text itself; at least 16 characters. Unset: one that is made at the first start and "
        "kept in the file `mcp-key` of `state_directory`.",
    )
    max_body: Size = Field(4 * 1024**2, description="The largest message that clients may send.")
    max_answer: Size = Field(
        16 * 1024**2, description="The largest message of a server, as far as it has to be read as a whole."
    )
    instructions: Unset[Text] = Field(
        None, description="Instructions for models; with several servers, put before the servers' own."
    )

    @model_validator(mode="after")
    def _names_differ(self) -> "McpEndpoint":
        names = [server.name.lower().replace("_", ".") for server in self.servers]  # as URIs have them
        if len(set(names)) < len(names):
            raise refuse("two servers have the same name, but for letter case; give one of them another")
        if self.secret is not None and len(self.secret.get_secret_value()) < 16:
            raise refuse("secret is at least 16 characters")
        return self

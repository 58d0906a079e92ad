"""models.yaml: MCP servers behind one endpoint."""

from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator

from gateway.config.models.base import Model
from gateway.config.models.llm.values import Name
from gateway.config.models.timeouts import TimeoutsOfRoute
from gateway.config.values.addresses import HttpUrl
from gateway.config.values.kinds import Kind, SomeOf, TextLike, Unset, as_list, refuse
from gateway.config.values.paths import PathPrefix

ToolGlob = Annotated[
    str,
    TextLike("tool, or pattern", r"[!-~]{1,200}", "a tool is 1 to 200 visible ASCII characters; * stands for any text"),
]
ToolGlobs = Annotated[
    SomeOf[ToolGlob],
    Kind("pattern, or list of them"),
    BeforeValidator(as_list, json_schema_input_type=str | SomeOf[ToolGlob]),
]


class McpServer(Model):
    """One MCP server (Streamable HTTP)."""

    name: Name = Field(description="Its name, which stands before those of its tools.", examples=["files"])
    url: HttpUrl = Field(description="Its endpoint.", examples=["http://127.0.0.1:7001/mcp"])
    allow: ToolGlobs = Field(("*",), description="The tools that may be called; `*` stands for any text.")
    deny: ToolGlobs = Field((), description="Tools that may not, whatever `allow` says.")
    timeout: Unset[TimeoutsOfRoute] = Field(None, description="Time limits of one call.")


class McpEndpoint(Model):
    """Servers as one."""

    servers: SomeOf[McpServer] = Field(description="The servers, at least one.")
    path: PathPrefix = Field("/mcp", description="Where clients find it.")

    @field_validator("servers")
    @classmethod
    def _differ(cls, servers: tuple[McpServer, ...]) -> tuple[McpServer, ...]:
        if len({server.name for server in servers}) < len(servers):
            raise refuse("two servers have the same name; rename one of them")
        return servers

"""The paths that SDKs of models ask for, as patterns of routes."""

from typing import Final

MODELS: Final = "models"
"""The target of routes that lead to the models, and the id of the one that there is without being written."""

PROBE: Final = "models-probe"
"""The id of the route for what clients ask before they send anything."""

MCP: Final = "mcp"
"""The target of routes that lead to MCP servers: this one where there is one endpoint, `mcp.NAME` of several."""

METADATA: Final = "mcp-metadata"
"""The id of the route to what an MCP endpoint says of its authorization (RFC 9728)."""

METADATA_PATH: Final = "/.well-known/oauth-protected-resource"

METHODS: Final = ("GET", "POST", "DELETE")

PATHS: Final = (
    "/v1/chat/completions/*",
    "/v1/responses/*",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/images/*",
    "/v1/audio/*",
    "/v1/moderations",
    "/v1/files/*",
    "/v1/batches/*",
    "/v1/conversations/*",
    "/v1/realtime",
    "/v1/models/*",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/messages/batches/*",
    "/v1beta/models/*",
    "/v1alpha/models/*",
)
"""What the routes to the models take that are there by themselves: of OpenAI, Anthropic, and Gemini. A `*` at the end
takes nothing, too: `/v1/responses` as well as `/v1/responses/ID/cancel`."""

PROBES: Final = ("/",)
"""Paths that clients request with HEAD to test for existence."""

"""An MCP server made with the SDK: its name and port are the arguments. It has what the conformance suite asks for."""

# mypy: ignore-errors

import base64
import sys

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp_types import (
    AudioContent,
    EmbeddedResource,
    ImageContent,
    SamplingMessage,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel

NAME, PORT = sys.argv[1], int(sys.argv[2])
PIXEL = base64.b64encode(bytes.fromhex("89504e470d0a1a0a")).decode()

server = MCPServer(NAME, instructions=f"I am {NAME}.")


def described(function):
    """The suite wants a description of everything."""
    function.__doc__ = function.__name__.replace("_", " ")
    return function


class Answer(BaseModel):
    """What a user is asked for."""

    username: str = "ann"
    email: str = "a@example.com"


@server.tool()
@described
def read_file(path: str) -> str:
    return f"{NAME} reads {path}"


@server.tool()
@described
def write_file(path: str) -> str:
    return f"{NAME} writes {path}"


@server.tool()
@described
def test_simple_text() -> str:
    return "This is a simple text response for testing."


@server.tool()
@described
def test_image_content() -> list[ImageContent]:
    return [ImageContent(type="image", data=PIXEL, mime_type="image/png")]


@server.tool()
@described
def test_audio_content() -> list[AudioContent]:
    return [AudioContent(type="audio", data=PIXEL, mime_type="audio/wav")]


def _embedded(uri: str, kind: str = "text/plain") -> EmbeddedResource:
    contents = TextResourceContents(uri=uri, mime_type=kind, text="This is an embedded resource content.")
    return EmbeddedResource(type="resource", resource=contents)


@server.tool()
@described
def test_embedded_resource() -> list[EmbeddedResource]:
    return [_embedded("test://embedded-resource")]


@server.tool()
@described
def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    return [
        TextContent(type="text", text="Multiple content types test:"),
        ImageContent(type="image", data=PIXEL, mime_type="image/png"),
        _embedded("test://mixed-content-resource", "application/json"),
    ]


@server.tool()
@described
async def test_tool_with_logging(ctx: Context) -> str:
    for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(text)
        await anyio.sleep(0.05)
    return "Tool with logging executed successfully"


@server.tool()
@described
def test_error_handling() -> str:
    raise ValueError("This tool intentionally returns an error for testing")


@server.tool()
@described
async def test_tool_with_progress(ctx: Context) -> str:
    for progress in (0, 50, 100):
        await ctx.report_progress(progress, 100)
        await anyio.sleep(0.05)
    return "done"


@server.tool()
@described
async def test_sampling(prompt: str, ctx: Context) -> str:
    message = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    said = await ctx.session.create_message(messages=[message], max_tokens=100)
    return f"LLM response: {said.content}"


@server.tool()
@described
async def test_elicitation(message: str, ctx: Context) -> str:
    result = await ctx.elicit(message, Answer)
    return f"User response: action={result.action}"


@server.resource("test://static-text", mime_type="text/plain")
def static_text() -> str:
    return "This is the content of the static text resource."


@server.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    return base64.b64decode(PIXEL)


@server.resource("test://watched-resource", mime_type="text/plain")
def watched() -> str:
    return "Watched resource content"


@server.resource("test://template/{id}/data", mime_type="application/json")
def template(id: str) -> str:
    return f'{{"id": "{id}", "of": "{NAME}"}}'


@server.prompt()
@described
def test_simple_prompt() -> str:
    return "This is a simple prompt for testing."


@server.prompt()
@described
def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@server.prompt()
@described
def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:  # noqa: N803
    return [UserMessage(_embedded(resourceUri)), UserMessage("Please process the embedded resource above.")]


@server.prompt()
@described
def test_prompt_with_image() -> list[UserMessage]:
    image = ImageContent(type="image", data=PIXEL, mime_type="image/png")
    return [UserMessage(image), UserMessage("Please analyze the image above.")]


server.run("streamable-http", host="127.0.0.1", port=PORT)

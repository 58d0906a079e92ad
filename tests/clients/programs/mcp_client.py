"""The client of the MCP SDK: uses what a server has, by the versions that `mode` means, and prints what came of it.

Arguments: the URL, the mode (`legacy`: with a handshake; `auto`: the newest), and a prefix of names.
"""

# mypy: ignore-errors

import asyncio
import json
import sys

from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import CreateMessageResult, ElicitResult, TextContent


async def elicit(_context, _params):
    return ElicitResult(action="accept", content={"username": "bob", "email": "b@example.com"})


async def sample(_context, _params):
    return CreateMessageResult(role="assistant", content=TextContent(type="text", text="sampled"), model="m")


async def said(coroutine):
    try:
        return (await coroutine).model_dump(mode="json", exclude_none=True, exclude={"meta"})
    except MCPError as error:
        return f"error {error.error.code}"


async def use(url, mode, prefix):
    progress, found = [], {}

    async def on_progress(now, total, message):
        progress.append(now)

    async with Client(url, mode=mode, elicitation_callback=elicit, sampling_callback=sample) as client:
        found["tools"] = [each.name for each in (await client.list_tools()).tools]
        found["resources"] = [str(each.uri) for each in (await client.list_resources()).resources]
        found["templates"] = [each.uri_template for each in (await client.list_resource_templates()).resource_templates]
        found["prompts"] = [each.name for each in (await client.list_prompts()).prompts]
        found["read"] = await said(client.call_tool(f"{prefix}read_file", {"path": "x"}))
        found["write"] = await said(client.call_tool(f"{prefix}write_file", {"path": "x"}))
        found["progress"] = await said(
            client.call_tool(f"{prefix}test_tool_with_progress", {}, progress_callback=on_progress)
        )
        found["steps"] = progress
        if mode == "legacy":
            found["asked"] = await said(client.call_tool(f"{prefix}test_elicitation", {"message": "sure?"}))
            found["sampled"] = await said(client.call_tool(f"{prefix}test_sampling", {"prompt": "hi"}))
        found["resource"] = await said(client.read_resource(found["resources"][0]))
        found["prompt"] = await said(
            client.get_prompt(f"{prefix}test_prompt_with_arguments", {"arg1": "a", "arg2": "b"})
        )
        several = (client.call_tool(f"{prefix}read_file", {"path": str(n)}) for n in range(20))
        texts = [each.content[0].text for each in await asyncio.gather(*several)]
        found["together"] = [text.rsplit(" ", 1)[1] for text in texts] == [str(n) for n in range(20)]
    print(json.dumps(found))


asyncio.run(use(*sys.argv[1:4]))

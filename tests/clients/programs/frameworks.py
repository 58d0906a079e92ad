"""What people build with: each, with a tool where it can, against one URL. Runs in the environment of the clients."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

QUESTION = "ask the weather"


def langchain(url: str, key: str) -> Any:
    """LangChain: a call, a stream, and a tool."""
    from langchain_openai import ChatOpenAI  # noqa: PLC0415  each framework takes seconds to import

    model = ChatOpenAI(model="small", base_url=f"{url}/v1", api_key=key, max_retries=0)
    tool = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
    said = model.invoke("hello there")
    called = model.bind_tools([{"type": "function", "function": tool}]).invoke(QUESTION)
    streamed = "".join(str(chunk.content) for chunk in model.stream("hello there"))
    return [said.content, said.usage_metadata["output_tokens"], streamed, called.tool_calls[0]["name"]]


def agents(url: str, key: str) -> Any:
    """OpenAI's agents, on Responses and on chat: a tool runs, and its result is answered."""
    from agents import (  # noqa: PLC0415
        Agent,
        OpenAIChatCompletionsModel,
        OpenAIResponsesModel,
        Runner,
        function_tool,
        set_tracing_disabled,
    )
    from openai import AsyncOpenAI  # noqa: PLC0415

    set_tracing_disabled(True)

    def weather(city: str) -> str:
        """The weather of a city."""
        return f"rain in {city}"

    async def run() -> list[str]:
        said = []
        for kind in (OpenAIResponsesModel, OpenAIChatCompletionsModel):
            client = AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
            agent = Agent(name="one", tools=[function_tool(weather)], model=kind("small", client))
            said.append(str((await Runner.run(agent, QUESTION)).final_output))
            streamed = Runner.run_streamed(agent, QUESTION)
            async for _ in streamed.stream_events():
                pass
            said.append(str(streamed.final_output))
        return said

    return asyncio.run(run())


def pydantic_ai(url: str, key: str) -> Any:
    """Pydantic AI on OpenAI's and on Anthropic's API, with a tool."""
    from anthropic import AsyncAnthropic  # noqa: PLC0415
    from pydantic_ai import Agent  # noqa: PLC0415
    from pydantic_ai.models.anthropic import AnthropicModel  # noqa: PLC0415
    from pydantic_ai.models.openai import OpenAIChatModel  # noqa: PLC0415
    from pydantic_ai.providers.anthropic import AnthropicProvider  # noqa: PLC0415
    from pydantic_ai.providers.openai import OpenAIProvider  # noqa: PLC0415

    def weather(city: str) -> str:
        """The weather of a city."""
        return f"rain in {city}"

    anthropic = AnthropicProvider(anthropic_client=AsyncAnthropic(base_url=url, api_key=key))
    openai = OpenAIProvider(base_url=f"{url}/v1", api_key=key)
    said = []
    for model in (OpenAIChatModel("small", provider=openai), AnthropicModel("small", provider=anthropic)):
        agent = Agent(model, tools=[weather])
        result = agent.run_sync(QUESTION)
        said += [result.output, result.usage.requests]
    return said


def llm(url: str, key: str) -> Any:
    """The command `llm`, with a model of its own configuration."""
    home = Path(sys.argv[3])
    entry = {"model_id": "gw", "model_name": "small", "api_base": f"{url}/v1", "api_key_name": "gw"}
    (home / "extra-openai-models.yaml").write_text(json.dumps([entry]))
    command = [str(Path(sys.executable).parent / "llm"), "-m", "gw", "--key", key, "hello there"]
    environment = {"LLM_USER_PATH": str(home), "HOME": str(home), "PATH": "/usr/bin:/bin"}
    return [
        subprocess.run([*command, *more], stdout=subprocess.PIPE, text=True, env=environment, check=True).stdout.strip()
        for more in ([], ["--no-stream"])
    ]


FRAMEWORKS: Mapping[str, Callable[[str, str], Any]] = {
    "langchain": langchain,
    "agents": agents,
    "pydantic-ai": pydantic_ai,
    "llm": llm,
}

if __name__ == "__main__":
    print(json.dumps(FRAMEWORKS[sys.argv[1]](sys.argv[2], sys.argv[4])))

"""The Python SDKs, one call for each line of JSON on standard input. Runs in the environment of the clients.

A line says which SDK, which method of its client, with which arguments; the answer, a line too, has the objects that
came of it and the error that was raised.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Any

import anthropic
import openai
from google import genai


def openai_client(asked: Mapping[str, Any]) -> Any:
    return openai.OpenAI(
        base_url=f"{asked['url']}/v1",
        api_key=asked["key"],
        max_retries=asked["retries"],
        timeout=asked["timeout"],
        default_headers=asked["headers"],
    )


def anthropic_client(asked: Mapping[str, Any]) -> Any:
    return anthropic.Anthropic(
        base_url=asked["url"],
        api_key=asked["key"],
        max_retries=asked["retries"],
        timeout=asked["timeout"],
        default_headers=asked["headers"],
    )


def gemini_client(asked: Mapping[str, Any]) -> Any:
    options = genai.types.HttpOptions(
        base_url=asked["url"], headers=dict(asked["headers"]), timeout=int(asked["timeout"] * 1000)
    )
    return genai.Client(api_key=asked["key"], http_options=options)


CLIENTS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "openai": openai_client,
    "anthropic": anthropic_client,
    "gemini": gemini_client,
}


def objects(asked: Mapping[str, Any]) -> Iterator[Any]:
    """What the call gives: one object, or those of a stream."""
    client = CLIENTS[asked["sdk"]](asked)  # its connections are closed when it is collected
    given = attrgetter(asked["method"])(client)(**asked["arguments"])
    if hasattr(given, "model_dump"):
        yield given.model_dump(mode="json", exclude={"sdk_http_response"})
    elif isinstance(given, bytes | str):
        yield str(given)
    elif hasattr(given, "read"):
        yield len(given.read())
    else:
        for each in given:
            yield each.model_dump(mode="json", exclude={"sdk_http_response"})


def main() -> None:
    """Serve until standard input ends."""
    for line in sys.stdin:
        got: list[Any] = []
        error = None
        try:
            got.extend(objects(json.loads(line)))  # what came before an error is kept
        except Exception as raised:
            status = getattr(raised, "status_code", None) or getattr(raised, "code", None)
            body = getattr(raised, "body", None) or getattr(raised, "details", None)
            error = {"type": type(raised).__name__, "status": status, "message": str(raised), "body": body}
        print(json.dumps({"objects": got, "error": error}, default=str), flush=True)


if __name__ == "__main__":
    main()

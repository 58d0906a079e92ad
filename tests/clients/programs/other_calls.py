"""What the SDKs of Python offer beside plain calls, one function each. Runs in the environment of the clients."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import anthropic
import openai
from google import genai

URL, KEY = sys.argv[1:3]
OPENAI = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0, timeout=20)
ANTHROPIC = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0, timeout=20)
SAID: Any = [{"role": "user", "content": "hello there"}]


def conversations() -> Any:
    """Ten of three turns each, one at a time answered by the provider that knows the turn before; then they are
    read and deleted."""
    found = []
    for number in range(10):
        last = OPENAI.responses.create(model="renamed", input=f"number {number}")
        for turn in range(2):
            text = f"number {number}, turn {turn}"
            last = OPENAI.responses.create(model="renamed", input=text, previous_response_id=last.id)
        found.append(OPENAI.responses.retrieve(last.id).output_text)
        OPENAI.responses.delete(last.id)
        try:
            OPENAI.responses.retrieve(last.id)
        except openai.NotFoundError:
            found.append("gone")
    return found


def helpers() -> Any:
    """The helpers that put streams together."""
    with OPENAI.responses.stream(model="renamed", input="hello there") as events:
        for _ in events:
            pass
        response = events.get_final_response().output_text
    with OPENAI.chat.completions.stream(model="renamed", messages=SAID) as chunks:
        for _ in chunks:
            pass
        chat = chunks.get_final_completion().choices[0].message.content
    with ANTHROPIC.messages.stream(model="renamed", max_tokens=64, messages=SAID) as message:
        text = message.get_final_text()
    return [response, chat, text]


def forms() -> Any:
    """Pictures and sound, as forms of several parts."""
    sound, picture = ("a.mp3", b"x" * 300_000, "audio/mpeg"), ("a.png", b"x" * 300_000, "image/png")
    heard = OPENAI.audio.transcriptions.create(model="renamed", file=sound).text
    edited = OPENAI.images.edit(model="renamed", image=picture, prompt="a dot").data
    spoken = OPENAI.audio.speech.create(model="renamed", voice="alloy", input="hello").read()
    return [heard.endswith("were heard"), len(edited or []), spoken.decode()]


def versions() -> Any:
    """Other ways to give a key, and other versions."""
    bearer = anthropic.Anthropic(base_url=URL, auth_token=KEY, api_key=None, max_retries=0)
    beta = ANTHROPIC.beta.messages.create(
        model="renamed", max_tokens=64, messages=SAID, betas=["context-1m-2025-08-07"]
    )
    google = genai.Client(api_key=KEY, http_options=genai.types.HttpOptions(base_url=URL, api_version="v1beta"))
    return [
        bearer.messages.create(model="renamed", max_tokens=64, messages=SAID).content[0].text,
        beta.content[0].text,
        google.models.generate_content(model="renamed", contents="hello there").text,
    ]


def listed() -> Any:
    """One model of the list, in each family, and one that is not there."""
    google = genai.Client(api_key=KEY, http_options=genai.types.HttpOptions(base_url=URL))
    try:
        OPENAI.models.retrieve("nothing")
        missing = ""
    except openai.NotFoundError as error:
        missing = type(error).__name__
    names = [OPENAI.models.retrieve("renamed").id, ANTHROPIC.models.retrieve("renamed").id]
    return [*names, google.models.get(model="renamed").name, missing]


def realtime() -> Any:
    """A WebSocket."""

    async def greeted() -> str:
        client = openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key=KEY)
        async with client.realtime.connect(model="renamed") as connection:
            return str((await connection.recv()).type)

    return asyncio.run(greeted())


CALLS: Mapping[str, Callable[[], Any]] = {
    call.__name__: call for call in (conversations, helpers, forms, versions, listed, realtime)
}

if __name__ == "__main__":
    print(json.dumps({name: call() for name, call in CALLS.items()}))

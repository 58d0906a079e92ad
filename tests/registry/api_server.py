"""An API server of Kubernetes that says what real ones were recorded to say, or what a test has it say."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support import scripted_backend

RECORDED = Path(__file__).parent / "recorded/kubernetes"
VERSIONS = ("1.20", "1.36")
CUT = b""  # in place of a message: the watch ends

Parameters = Mapping[str, str]


def recorded(version: str, name: str) -> Any:
    """An answer that was recorded."""
    return json.loads((RECORDED / version / f"{name}.json").read_text())


def recorded_messages(version: str, name: str) -> Sequence[bytes]:
    """The messages of a watch that was recorded."""
    lines = (RECORDED / version / f"{name}.txt").read_text().splitlines()
    return [line.split(None, 1)[1].encode() for line in lines if not line.startswith("#")]


def listing(revision: int, *slices: Mapping[str, Any], go_on: str = "") -> dict[str, Any]:
    """A list, or a page of one."""
    metadata = {"resourceVersion": str(revision)} | ({"continue": go_on} if go_on else {})
    return {"kind": "EndpointSliceList", "metadata": metadata, "items": slices}


def slice_of(name: str, revision: int, *hosts: str, **more: Any) -> dict[str, Any]:
    """A slice of endpoints that are ready."""
    endpoints = [{"addresses": [host], "conditions": {"ready": True}} for host in hosts]
    return {
        "metadata": {"name": name, "resourceVersion": str(revision)},
        "endpoints": endpoints or None,
        "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
        **more,
    }


def event(kind: str, what: Mapping[str, Any]) -> bytes:
    """A message of a watch."""
    return json.dumps({"type": kind, "object": what}).encode()


def status(code: int, **metadata: str) -> tuple[int, Any]:
    """An answer that is an error."""
    return code, {"kind": "Status", "metadata": metadata, "code": code, "message": f"it is {code}"}


@dataclass
class ApiServer:
    """What it answers: to lists one after the other, the last one for ever; to watches what is put into `messages`."""

    group: Any
    lists: list[tuple[int, Any]]
    port: int = 0
    messages: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    asked: list[tuple[str, Parameters, str]] = field(default_factory=list)  # path, parameters, authorization

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def watches(self) -> list[str]:
        """From which revisions it was watched."""
        return [parameters["resourceVersion"] for _, parameters, _ in self.asked if "watch" in parameters]

    def say(self, *messages: bytes) -> None:
        """Let the watch say this."""
        for message in messages:
            self.messages.put_nowait(message)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                url = urlsplit(head.split()[1])
                parameters = {name: values[0] for name, values in parse_qs(url.query).items()}
                lines = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if line)
                self.asked.append((url.path, parameters, lines.get("authorization", "")))
                if "watch" in parameters:
                    await self._watch(reader, writer)
                    return
                code, body = self._answer_to(url.path)
                content = json.dumps(body).encode()
                writer.write(b"HTTP/1.1 %d .\r\nContent-Length: %d\r\n\r\n%b" % (code, len(content), content))

    def _answer_to(self, path: str) -> tuple[int, Any]:
        if path == "/apis/discovery.k8s.io":
            return 200, self.group
        return self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]

    async def _watch(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Say what is to be said, until that is CUT, or no client listens any more."""
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        left = asyncio.create_task(reader.read())
        try:
            while not left.done():
                message = asyncio.create_task(self.messages.get())
                await asyncio.wait({message, left}, return_when=asyncio.FIRST_COMPLETED)
                if not message.done():
                    message.cancel()
                elif message.result() == CUT:
                    break
                else:
                    writer.write(b"%x\r\n%b\n\r\n" % (len(message.result()) + 1, message.result()))
            writer.write(b"0\r\n\r\n")
        finally:
            left.cancel()


@contextlib.asynccontextmanager
async def api_server(*lists: Any, version: str = "1.36") -> AsyncIterator[ApiServer]:
    """One that answers these to lists: bodies, or a status and a body."""
    answers = [each if isinstance(each, tuple) else (200, each) for each in lists]
    server = ApiServer(recorded(version, "group"), answers)
    async with scripted_backend(server.answer) as port:
        server.port = port
        yield server

"""A provider that stores files, batches and conversations, and answers what refers to them."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from typing import Any

from tests.support import read_head


@dataclass
class StoringProvider:
    """Its ids contain its name. `kind`: of what it answers. `content`: of its messages. `received`: the method and path
    of each request, its key, and its body."""

    name: str
    received: list[tuple[str, str, str, bytes]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    status: int = 200
    kind: str = "application/json"
    content: list[dict[str, Any]] = field(default_factory=lambda: [{"type": "text", "text": "hi"}])

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0] or 0)
        body = await reader.readexactly(length)
        method, path, _ = head.decode().split("\r\n")[0].split(" ")
        key = re.search(r"(?im)^(?:authorization: bearer|x-api-key:) (.+?)\r?$", head.decode())
        self.received.append((method, path, key[1] if key else "", body))
        answer = self._answer(method, path, body)
        status = self.status
        lines = (
            f"HTTP/1.1 {status} Said\r\nConnection: close\r\nContent-Type: {self.kind}\r\nContent-Length: {len(answer)}"
        )
        writer.write(lines.encode() + b"\r\n\r\n" + answer)
        await writer.drain()
        writer.close()

    def _answer(self, method: str, path: str, body: bytes) -> bytes:
        if self.status >= 400:
            return json.dumps({"error": {"message": "No", "type": "server_error"}}).encode()
        path, _, _query = path.partition("?")
        parts = path.removeprefix("/v1/").split("/")
        if parts[-1] in ("content", "results"):
            return self.files.get(parts[-2], b'{"error": {"message": "of a file"}}')
        return json.dumps(self._document(method, parts, body), separators=(",", ":")).encode()

    def _document(self, method: str, parts: list[str], body: bytes) -> dict[str, Any]:
        if parts[0] == "files":
            if len(parts) == 1 and method == "GET":
                entries = [self._file(id) for id in self.files]
                first = next(iter(self.files), None)
                return {"object": "list", "data": entries, "first_id": first, "has_more": False}
            if len(parts) == 1:
                id = f"file-{self.name}{len(self.files)}"
                self.files[id] = body
                return self._file(id)
            return self._file(parts[1]) | ({"deleted": True} if method == "DELETE" else {})
        if "batches" in parts:
            id = parts[parts.index("batches") + 1] if parts[-1] != "batches" else f"batch_{self.name}1"
            given = json.loads(body).get("input_file_id") if body else None
            return {
                "id": id,
                "object": "batch",
                "input_file_id": given,
                "output_file_id": f"file-{self.name}9",
                "results_url": f"https://provider.example/v1/messages/batches/{id}/results",
            }
        if parts[0] == "conversations":
            return {"id": parts[1] if len(parts) > 1 else f"conv_{self.name}1", "object": "conversation"}
        message = {"role": "assistant", "content": "hi"}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "input_tokens": 1, "output_tokens": 1}
        return {
            "id": "c",
            "type": "message",
            "role": "assistant",
            "model": "small",
            "choices": choices,
            "content": self.content,
            "stop_reason": "end_turn",
            "output": [],
            "usage": usage,
        }

    def _file(self, id: str) -> dict[str, Any]:
        return {"id": id, "object": "file", "bytes": len(self.files.get(id, b"")), "filename": "a.pdf"}

"""Messages of a conversation in chat/completions as turns of Messages: every call answered at the start of the next."""

from __future__ import annotations

from typing import Any

from gateway.llm.translate.reading import Fields, malformed
from gateway.llm.translate.writing import NOT_IN_IDS, event_document

_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})


class Turns:
    """Takes the messages in order. Messages of one side that follow each other are one turn."""

    def __init__(self) -> None:
        self._system: list[dict[str, Any]] = []
        self._messages: list[dict[str, Any]] = []
        self._used: dict[str, None] = {}
        self._ids: dict[str, int] = {}
        self._results = 0  # at the beginning of the last turn
        self._open: dict[str, tuple[str, str]] = {}

    def add(self, message: Fields) -> None:
        """One message."""
        role = message.needed_text("role")
        message.harmless("name")
        if role in {"system", "developer"}:
            self._system += [part for part in self._parts(message) if part["type"] == "text"]
        elif role == "user":
            self._extend("user", self._parts(message))
        elif role == "assistant":
            self._assistant(message)
        elif role == "tool":
            self._result(message)
        else:
            message.notes.unsupported(message.at("role"), role)
            return
        message.end()

    def system(self) -> str | list[dict[str, Any]]:
        """The text of all system and developer messages, at any position."""
        if len(self._system) == 1 and len(self._system[0]) == 2:
            text: str = self._system[0]["text"]
            return text
        return self._system

    def messages(self) -> list[dict[str, Any]]:
        """The turns."""
        self._all_answered()
        if self._messages and self._messages[-1]["role"] == "assistant":
            last = self._messages[-1]["content"][-1]
            if last["type"] == "text":
                last["text"] = last["text"].rstrip()  # white space at the end of what is to be continued is refused
        return self._messages

    def tools_used(self) -> list[str]:
        """The names of the tools that were called."""
        return list(self._used)

    def _extend(self, role: str, blocks: list[dict[str, Any]]) -> None:
        if not blocks:
            return
        if not self._messages or self._messages[-1]["role"] != role:
            self._messages.append({"role": role, "content": []})
            self._results = 0
        self._messages[-1]["content"] += blocks

    def _all_answered(self) -> None:
        for place, _ in self._open.values():
            raise malformed(place, "answered by a message of the role tool with its id")

    def _assistant(self, message: Fields) -> None:
        self._all_answered()
        blocks = self._thoughts(message)
        blocks += self._parts(message, needed=False)
        if refusal := message.text("refusal"):
            blocks.append({"type": "text", "text": refusal})
        message.unsupported("audio", "function_call")
        message.harmless("reasoning", "reasoning_content", "annotations")
        blocks += [block for call in message.objects("tool_calls") if (block := self._call(call)) is not None]
        self._extend("assistant", blocks)

    def _thoughts(self, message: Fields) -> list[dict[str, Any]]:
        """Blocks of thinking that were handed out with an answer: all of them as they were, or none."""
        given = message.array("thinking_blocks")
        blocks = [
            {name: value for name, value in block.items() if name != "index"}
            for block in given
            if isinstance(block, dict)
        ]
        whole = [block for block in blocks if _is_whole(block)]
        if len(whole) == len(given):
            return whole
        message.notes.harmless(message.at("thinking_blocks"))
        return []

    def _call(self, call: Fields) -> dict[str, Any] | None:
        kind = call.text("type") or "function"
        function = call.object("function")
        if kind != "function" or function is None:
            call.notes.unsupported(call.at("type"), kind)
            return None
        given, name = call.needed_text("id"), function.needed_text("name")
        arguments = function.text("arguments") or "{}"
        call.ignored("index")
        call.end()
        value = event_document(arguments.encode("utf-8", "replace"))
        # An id of the letters that are allowed, and of no other call: some servers count anew in each answer.
        base = identifier = NOT_IN_IDS.sub("_", given) or "call"
        while identifier in self._ids:
            self._ids[base] += 1
            identifier = f"{base}_{self._ids[base]}"
        self._ids[identifier] = 1
        self._open[given] = (call.place, identifier)
        self._used[name] = None
        value = {"arguments": arguments} if value is None else value
        return {"type": "tool_use", "id": identifier, "name": name, "input": value}

    def _result(self, message: Fields) -> None:
        given = message.needed_text("tool_call_id")
        _, identifier = self._open.pop(given, ("", ""))
        if not identifier:
            raise malformed(message.at("tool_call_id"), "the id of a call in the turn before")
        content = self._parts(message)
        if len(content) == 1 and content[0].keys() == {"type", "text"}:
            result: dict[str, Any] = {"type": "tool_result", "tool_use_id": identifier, "content": content[0]["text"]}
        else:
            result = {"type": "tool_result", "tool_use_id": identifier, "content": content}
        self._extend("user", [result])
        blocks = self._messages[-1]["content"]
        if len(blocks) > self._results + 1:  # what was said between results follows them
            blocks.insert(self._results, blocks.pop())
        self._results += 1

    def _parts(self, message: Fields, *, needed: bool = True) -> list[dict[str, Any]]:
        content = message.raw("content")
        if isinstance(content, str):
            return [{"type": "text", "text": content}] if content.strip() else []
        if content is None and needed:
            raise malformed(message.at("content"), "text or a list of parts")
        return [block for part in message.objects("content") if (block := _part(part)) is not None]


def _is_whole(block: dict[str, Any]) -> bool:
    """Whether a block has its signature. Its text may be empty, where it is not shown."""
    sealed = {"thinking": "signature", "redacted_thinking": "data"}.get(str(block.get("type")), "")
    text = block.get("thinking", "")
    return isinstance(block.get(sealed), str) and block[sealed] != "" and isinstance(text, str)


def _part(part: Fields) -> dict[str, Any] | None:
    kind = part.needed_text("type")
    block: dict[str, Any] | None = None
    if kind in {"text", "refusal"}:
        text = part.needed_text(kind)
        block = {"type": "text", "text": text} if text.strip() else None
    elif kind == "image_url":
        block = _image(part)
    elif kind == "file":
        block = _file(part)
    else:
        part.notes.unsupported(part.at("type"), kind)
        return None
    hint = part.mapping("cache_control")
    part.harmless("prompt_cache_breakpoint")
    part.end()
    if block is not None and hint is not None:
        block["cache_control"] = hint
    return block


def _image(part: Fields) -> dict[str, Any] | None:
    image = part.object("image_url")
    if image is None:
        raise malformed(part.at("image_url"), "an object")
    address = image.needed_text("url")
    image.harmless("detail")
    image.end()
    if address[:8].lower().startswith(("https://", "http://")):
        return {"type": "image", "source": {"type": "url", "url": address}}
    media, data = _data(address)
    if media not in _IMAGES:
        part.notes.unsupported(
            image.at("url"), "images are https addresses, or data of JPEG, PNG, GIF or WebP in base64"
        )
        return None
    return {"type": "image", "source": {"type": "base64", "media_type": media, "data": data}}


def _file(part: Fields) -> dict[str, Any] | None:
    file = part.object("file")
    if file is None:
        raise malformed(part.at("file"), "an object")
    title = file.text("filename")
    if not file.has("file_data"):
        file.unsupported("file_id")
        return None
    media, data = _data(file.needed_text("file_data"))
    file.end()
    if media != "application/pdf":
        part.notes.unsupported(file.at("file_data"), "files are data of PDF in base64")
        return None
    block: dict[str, Any] = {"type": "document", "source": {"type": "base64", "media_type": media, "data": data}}
    return block if title is None else {**block, "title": title}


def _data(address: str) -> tuple[str, str]:
    """Media type and base64 of a data URL (RFC 2397); ("", "") for anything else."""
    head, comma, data = address.partition(",")
    media, *parameters = head.lower().split(";")
    if not comma or not media.startswith("data:") or "base64" not in parameters:
        return "", ""
    media = media.removeprefix("data:")
    return "image/jpeg" if media == "image/jpg" else media, data

"""Merges the answers of several servers."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gateway.mcp.json_text import as_object, members, written
from gateway.mcp.messages import INVALID_PARAMS, BadMessage, Message
from gateway.mcp.versions import KNOWN, SERVER_IN_META, oldest

UNAVAILABLE: Final = "gateway/unavailable"
"""In the `_meta` of a result: the servers that are missing in it, and why."""

_OFFERS: Final = {"tools": "t", "prompts": "p", "resources": "r", "logging": "l", "completions": "c"}
"""Letters for what a server offers, as a session has them."""

LISTS: Final = {
    "tools/list": ("tools", "t"),
    "prompts/list": ("prompts", "p"),
    "resources/list": ("resources", "r"),
    "resources/templates/list": ("resourceTemplates", "r"),
}
"""The list in the answer to each of these, and the letter of what offers it."""

_LONGEST_CURSOR: Final = 16 * 1024  # characters


@dataclass(frozen=True, slots=True)
class Missing:
    """A server that does not take part, and why, in words for clients."""

    server: str
    reason: str


def offers(result: Mapping[str, Any]) -> str:
    """Letters for what a server says that it offers."""
    capabilities = as_object(result.get("capabilities"))
    return "".join(letter for name, letter in _OFFERS.items() if isinstance(capabilities.get(name), dict))


def greeting(results: Mapping[str, Mapping[str, Any]], missing: Sequence[Missing], name: str, about: str) -> Any:
    """The answer to `initialize` of the servers that have answered; `about` is what the configuration says of them."""
    return {
        "protocolVersion": oldest(str(each["protocolVersion"]) for each in results.values()),
        "capabilities": _capabilities(results.values()),
        "serverInfo": {"name": name, "version": "1"},
        **_instructions(results, missing, about),
        **_meta(missing),
    }


def discovery(results: Mapping[str, Mapping[str, Any]], missing: Sequence[Missing], name: str, about: str) -> Any:
    """The same for `server/discover`."""
    spoken = [_versions(each.get("supportedVersions")) for each in results.values()]
    common = set.intersection(*spoken) if spoken else set()
    meta = {"_meta": {SERVER_IN_META: {"name": name, "version": "1"}, **_unavailable(missing)}}
    return {
        "supportedVersions": [version for version in KNOWN if version in common],
        "capabilities": _capabilities(results.values()),
        **_instructions(results, missing, about),
        **_for_caches(results.values()),
        **meta,
    }


def _versions(said: object) -> set[str]:
    return {each for each in said if isinstance(each, str)} if isinstance(said, list) else set()


def _capabilities(results: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, bool]]:
    """Capabilities that any of them offers, as far as they work through the gateway."""
    merged: dict[str, dict[str, bool]] = {}
    for result in results:
        for name, said in as_object(result.get("capabilities")).items():
            if name in _OFFERS and isinstance(said, dict):
                flags = merged.setdefault(name, {})
                flags |= {key: True for key in ("listChanged", "subscribe") if said.get(key) is True}
    return merged


def _instructions(results: Mapping[str, Mapping[str, Any]], missing: Sequence[Missing], about: str) -> dict[str, str]:
    said = {name: each.get("instructions") for name, each in results.items()}
    parts = [about] if about else []
    parts += [f"# {name}\n{text}" for name, text in said.items() if isinstance(text, str) and text]
    parts += [f"The server {each.server} is missing at the moment: {each.reason}." for each in missing]
    return {"instructions": "\n\n".join(parts)} if parts else {}


def _meta(missing: Sequence[Missing]) -> dict[str, Any]:
    return {"_meta": _unavailable(missing)} if missing else {}


def _unavailable(missing: Sequence[Missing]) -> dict[str, Any]:
    return {UNAVAILABLE: [{"server": each.server, "reason": each.reason} for each in missing]} if missing else {}


def _for_caches(results: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """For how long a result may be kept, and by whom: what holds for all (since 2026-07-28)."""
    several = list(results)
    if not any("resultType" in each for each in several):
        return {}
    times = [each.get("ttlMs") for each in several]
    return {
        "resultType": "complete",
        "ttlMs": min((each for each in times if isinstance(each, int | float)), default=0),
        "cacheScope": "public" if all(each.get("cacheScope") == "public" for each in several) else "private",
    }


def list_result(method: str, pages: Mapping[str, Message], missing: Sequence[Missing]) -> str:
    """One page of a list, of the pages of servers, as JSON. Their entries are as clients see them already."""
    key = LISTS[method][0]
    results = {server: page.result for server, page in pages.items()}
    entries: list[str] = []
    for page in pages.values():
        part = members(page.text, page.members["result"].start).get(key)
        if part is not None and isinstance(part.value, list):
            entries.append(page.text[part.start + 1 : part.end - 1].strip())
    cursors = {name: each["nextCursor"] for name, each in results.items() if isinstance(each.get("nextCursor"), str)}
    others: dict[str, Any] = {"nextCursor": cursor(cursors)} if cursors else {}
    others |= _for_caches(results.values()) | _meta(missing)
    ending = "".join(f",{written(name)}:{written(value)}" for name, value in others.items())
    return f'{{"{key}":[{",".join(each for each in entries if each)}]{ending}}}'


def cursor(cursors: Mapping[str, str]) -> str:
    """Where each server is to go on."""
    return base64.urlsafe_b64encode(written(dict(cursors)).encode()).decode()


def cursors(text: object, id: str) -> dict[str, str]:
    """The contents of `cursor`. Raises BadMessage for anything else."""
    try:
        if not isinstance(text, str) or len(text) > _LONGEST_CURSOR:
            raise ValueError
        made = orjson.loads(base64.b64decode(text, b"-_", validate=True))
    except (ValueError, binascii.Error):
        made = None
    if not isinstance(made, dict) or not made or not all(isinstance(each, str) for each in made.values()):
        raise BadMessage(INVALID_PARAMS, "the cursor is not one of this list", id, 200)
    return made

"""How many calls of tools the answers of models may have: counted in answers, refused in requests that offer the tool.

What a request in flight has its tools called for is only known at its end: so many calls a quota may be exceeded by.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.algorithms.globs import Glob
from gateway.errors import ErrorKind
from gateway.http import Exchange
from gateway.http.decisions import Mode, deny
from gateway.limits.ledger import Ledger
from gateway.llm.claims import RETRY_SECONDS, OnFailure, Refused
from gateway.llm.request import OF_TOOLS
from gateway.llm.speaking import ModelError
from gateway.llm.streams.reader import name_of
from gateway.llm.usage import members
from gateway.plurals import counted

MOST_TOOLS: Final = 1000  # of one request
_NAME: Final = ("name",)
_TYPE: Final = ("type",)
_WITHIN: Final = ("function", "custom")  # types of tools whose name stands in a member that is called so, or beside it
_DECLARED: Final = ("functiondeclarations", "function_declarations", "tools")  # of Gemini, and of a namespace


@dataclass(frozen=True, slots=True)
class ToolQuota:
    """One quota of the configuration, compiled."""

    name: str
    mode: Mode
    applies: Callable[[str], bool]  # to a route
    tools: tuple[Glob, ...]
    key: Callable[[Exchange, str], str]  # of a request and a tool
    limit: int
    window: str  # in words
    on_failure: OnFailure
    ledger: Ledger

    @property
    def rule(self) -> str:
        """As decisions call it."""
        return f"tool_quota:{self.name}"

    def covers(self, tool: str) -> bool:
        """Whether calls of this tool count."""
        lowered = tool.lower()
        return any(glob.matches(lowered) for glob in self.tools)


class ToolQuotas:
    """All of one configuration."""

    def __init__(self, quotas: Sequence[ToolQuota] = ()) -> None:
        self.quotas = quotas

    async def check(self, exchange: Exchange, document: Mapping[str, Any]) -> None:
        """A request with this body may offer its tools. Raises Refused, and ModelError for too many."""
        quotas = list(self._of(exchange))
        try:
            offered = offered_tools(document) if quotas else ()
        except ModelError as error:
            for quota in quotas:
                deny(exchange, quota.rule, error, quota.mode)
            return
        for quota in quotas:
            keys = dict.fromkeys(quota.key(exchange, tool) for tool in offered if quota.covers(tool))
            unread = [key for key in keys if quota.ledger.used(key) is None]
            if unread:
                await quota.ledger.refresh(unread)  # all at once: a request may offer hundreds
            for key in keys:
                _check(exchange, quota, key)

    def count(self, exchange: Exchange) -> None:
        """The answer to a request has come to its end: count the tools that it calls."""
        calls = exchange.model.tool_calls if self.quotas and exchange.model is not None else ()
        for tool in calls:
            for quota in self._of(exchange):
                if quota.covers(tool):
                    quota.ledger.add(quota.key(exchange, tool))

    def _of(self, exchange: Exchange) -> Iterator[ToolQuota]:
        return (quota for quota in self.quotas if quota.applies(exchange.route or ""))


def _check(exchange: Exchange, quota: ToolQuota, key: str) -> None:
    ledger = quota.ledger
    if ledger.used(key) is None or not ledger.book.available:
        if quota.on_failure == "open":
            return
        if quota.on_failure == "closed":
            detail = f"the store of the quota {quota.name} does not answer"
            error = Refused(ErrorKind.STORE_UNAVAILABLE, detail, quota.name, after=RETRY_SECONDS)
            deny(exchange, quota.rule, error, quota.mode)
            return
    used = ledger.assume(key)
    if used >= ledger.limit(key, quota.limit):
        ledger.keep(key)
        ledger.look(key)  # it may have been reset elsewhere
        after = ledger.seconds_left()
        limit = f"{counted(quota.limit, 'call')} of tools per {quota.window}"
        detail = f"the quota {quota.name} ({limit}) is used up; leave out these tools, or try again in {after} s"
        deny(exchange, quota.rule, Refused(ErrorKind.QUOTA_EXCEEDED, detail, quota.name, after=after), quota.mode)


def offered_tools(document: Mapping[str, Any]) -> Collection[str]:
    """The names of the tools that a request offers, in any of the protocols: all that a server could call them by.
    Raises ModelError where there are more tools than are looked at."""
    names: dict[str, None] = {}
    lists = [document.get(name) for name in OF_TOOLS]
    found = _items_of(document.get("input"))  # of responses: what a search for tools has found
    lists += [members(item).get("tools") for item in found]
    looked_at = 0
    while lists:
        for tool in _items_of(lists.pop()):
            looked_at += 1
            if looked_at > MOST_TOOLS:
                detail = f"a request may offer {MOST_TOOLS} tools here"
                raise ModelError(ErrorKind.BAD_REQUEST, detail, "too_many_tools", param="tools")
            said = members(tool)
            named = [said, *map(members, _values(said, _WITHIN))]
            called = [name for each in named for name in _values(each, _NAME) if isinstance(name, str)]
            kinds = [kind for kind in _values(said, _TYPE) if isinstance(kind, str)]
            called += [kind for kind in kinds if kind not in _WITHIN or not called]  # what the provider runs itself
            names.update((name_of(name), None) for name in called)
            lists += _values(said, _DECLARED)
    return names


def _values(said: Mapping[str, Any], names: Collection[str]) -> list[Any]:
    """Of these members, in any letters: some servers take `Name` for `name`."""
    return [value for name, value in said.items() if name.casefold() in names]


def _items_of(value: object) -> Sequence[object]:
    """The items of a list; none of anything else."""
    return value if isinstance(value, list) else ()

"""How many calls of tools the answers of models may have: counted in answers, refused in requests that offer the tool.

What a request in flight has its tools called for is only known at its end: so many calls a quota may be exceeded by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.algorithms.globs import Glob
from gateway.errors import ErrorKind
from gateway.http import Exchange
from gateway.http.decisions import Mode, deny
from gateway.limits.ledger import Ledger
from gateway.llm.claims import RETRY_SECONDS, OnFailure, Refused
from gateway.llm.usage import members
from gateway.plurals import counted

MOST_TOOLS: Final = 1000  # of one request that are looked at
LONGEST_NAME: Final = 200


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
        """A request with this body may offer its tools. Raises Refused."""
        if not self.quotas:
            return
        offered = list(offered_tools(document))
        for quota in self._of(exchange):
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
        ledger.look(key)  # it may have been reset elsewhere
        after = ledger.seconds_left()
        limit = f"{counted(quota.limit, 'call')} of tools per {quota.window}"
        detail = f"the quota {quota.name} ({limit}) is used up; leave out these tools, or try again in {after} s"
        deny(exchange, quota.rule, Refused(ErrorKind.QUOTA_EXCEEDED, detail, quota.name, after=after), quota.mode)


def offered_tools(document: Mapping[str, Any]) -> Iterable[str]:
    """The names of the tools that a request offers, in any of the protocols."""
    tools = document.get("tools") or document.get("functions")
    for tool in tools[:MOST_TOOLS] if isinstance(tools, list) else ():
        said = members(tool)
        declared = said.get("functionDeclarations", said.get("function_declarations"))
        if isinstance(declared, list):  # Gemini
            names = [members(each).get("name") for each in declared[:MOST_TOOLS]]
        else:  # chat/completions; others; what the provider runs itself need have no name
            names = [members(said.get("function")).get("name") or said.get("name") or said.get("type")]
        yield from (name[:LONGEST_NAME] for name in names if isinstance(name, str))

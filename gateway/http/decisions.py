"""How a rule says no: it ends the exchange, or, in shadow mode, only says that it would have."""

from __future__ import annotations

from typing import Final, Literal

from gateway.errors import ErrorKind, GatewayError
from gateway.http.messages import Decision, Exchange

Mode = Literal["enforce", "shadow"]

_UNDECIDED: Final = (ErrorKind.AUTH_UNAVAILABLE, ErrorKind.STORE_UNAVAILABLE)
"""Kinds of errors of rules that cannot ask what they need to know."""


def deny(
    exchange: Exchange, rule: str, error: GatewayError, mode: Mode = "enforce", *, undecided: bool = False
) -> None:
    """Record that `rule` refuses the exchange. Raises `error`, except in shadow mode, where the exchange goes on.

    `undecided`: it cannot know, which the kind of the error does not say.
    """
    if mode == "shadow":
        exchange.decisions += (Decision(rule, "shadow-deny", error.reason),)
        return
    unknown = undecided or error.kind in _UNDECIDED
    exchange.decisions += (Decision(rule, "unknown" if unknown else "deny", error.reason),)
    raise error


def allow(exchange: Exchange, rule: str, reason: str) -> None:
    """Record that `rule` lets the exchange pass, if that is worth a line in the log."""
    exchange.decisions += (Decision(rule, "allow", reason),)

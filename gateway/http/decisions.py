"""How a rule says no: it ends the exchange, or, in shadow mode, only says that it would have."""

from __future__ import annotations

from typing import Literal

from gateway.errors import GatewayError
from gateway.http.messages import Decision, Exchange

Mode = Literal["enforce", "shadow"]


def deny(exchange: Exchange, rule: str, error: GatewayError, mode: Mode = "enforce") -> None:
    """Record that `rule` refuses the exchange. Raises `error`, except in shadow mode, where the exchange goes on."""
    if mode == "shadow":
        exchange.decisions += (Decision(rule, "shadow-deny", error.reason),)
        return
    exchange.decisions += (Decision(rule, "deny", error.reason),)
    raise error


def allow(exchange: Exchange, rule: str, reason: str) -> None:
    """Record that `rule` lets the exchange pass, if that is worth a line in the log."""
    exchange.decisions += (Decision(rule, "allow", reason),)

"""The words that everything else is written in: Exchange, Response, Handler, Body, and the header rules. Pure."""

from gateway.http.messages import (
    Body,
    Decision,
    Exchange,
    Handler,
    Headers,
    Identity,
    Outcome,
    Report,
    Response,
    WebSocketSession,
    WholeBody,
    WrappedBody,
)

__all__ = [
    "Body",
    "Decision",
    "Exchange",
    "Handler",
    "Headers",
    "Identity",
    "Outcome",
    "Report",
    "Response",
    "WebSocketSession",
    "WholeBody",
    "WrappedBody",
]

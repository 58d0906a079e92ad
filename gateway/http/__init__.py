"""The words that everything else is written in: Exchange, Response, Handler, Body, and the header rules. Pure."""

from gateway.http.bodies import Body, Headers, WebSocketSession, WholeBody, WrappedBody
from gateway.http.messages import Decision, Exchange, Handler, Identity, Outcome, Report, Response

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

"""The words that everything else is written in: Exchange, Response, Handler, Body, and the header rules. Pure."""

from gateway.http.messages import Body, Exchange, Handler, Headers, Response, WebSocketSession

__all__ = ["Body", "Exchange", "Handler", "Headers", "Response", "WebSocketSession"]

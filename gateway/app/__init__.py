"""The only place that speaks ASGI: scope -> Exchange, Response -> send, lifespan, WebSocket."""

from gateway.app.gateway import Gateway

__all__ = ["Gateway"]

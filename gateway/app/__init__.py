"""Answers requests: a head -> Exchange -> Response. `asgi.py`: the same as an ASGI application."""

from gateway.app.gateway import Gateway

__all__ = ["Gateway"]

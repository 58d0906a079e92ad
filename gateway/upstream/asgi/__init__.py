"""A backend that is an ASGI application in this process: `target: asgi:package.module:app`."""

from gateway.upstream.asgi.hosted import Applications, Hosted

__all__ = ["Applications", "Hosted"]

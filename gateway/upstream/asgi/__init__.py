"""A backend that is an ASGI application in this process: `target: asgi:package.module:app`."""

from gateway.upstream.asgi.application import Application, Hosted, import_application

__all__ = ["Application", "Hosted", "import_application"]

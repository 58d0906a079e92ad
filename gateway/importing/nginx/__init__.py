"""nginx.conf, parsed by crossplane."""

from gateway.importing.nginx.reader import read_nginx

__all__ = ["read_nginx"]

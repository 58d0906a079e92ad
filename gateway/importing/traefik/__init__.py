"""Dynamic configuration of Traefik 2 and 3, in YAML and TOML."""

from gateway.importing.traefik.reader import read

__all__ = ["read"]

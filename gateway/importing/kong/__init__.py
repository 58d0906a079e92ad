"""kong.yml, the declarative configuration of Kong and decK, of the formats 1.1 to 3.0."""

from gateway.importing.kong.reader import read

__all__ = ["read"]

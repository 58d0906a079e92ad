"""`python -m gateway.config.docs > docs/configuration.md`."""

from gateway.config.docs.reference import render

print(render(), end="")

"""Callers without a credential."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.auth.scheme import AuthResult, Locations, Recognised, Refused
from gateway.http import Exchange


@dataclass(frozen=True, slots=True)
class Anonymous:
    """The scheme of kind `anonymous`. It is asked last, and only where no other scheme refused."""

    name: str
    holder: Recognised
    forward: bool = False

    @property
    def locations(self) -> Locations:
        """Nowhere."""
        return Locations()

    async def authenticate(self, exchange: Exchange, *, dry_run: bool = False) -> AuthResult:
        """Every caller."""
        return self.holder

    def challenge(self, refused: Refused | None) -> None:
        """There is nothing to ask for."""

"""Whoever comes without a credential."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.auth.outcome import Outcome, Places, Recognised, Refused
from gateway.http import Exchange


@dataclass(frozen=True, slots=True)
class Anonymous:
    """The scheme of kind `anonymous`. It is asked last, and only where no other scheme refused."""

    name: str
    holder: Recognised
    forward: bool = False

    @property
    def places(self) -> Places:
        """Nowhere."""
        return Places()

    async def authenticate(self, exchange: Exchange, *, asking: bool = True) -> Outcome:
        """Everybody."""
        return self.holder

    def challenge(self, refused: Refused | None) -> None:
        """There is nothing to ask for."""

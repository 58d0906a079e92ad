"""Effects of a plugin of Kong on its routes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.importing.description import Description, Policy, Settings
from gateway.importing.tree import Item


@dataclass(slots=True, eq=False)
class Effect:
    """The effect of one plugin on each of its routes. `closes`: its access rule cannot be expressed."""

    item: Item
    policies: list[Policy] = field(default_factory=list)
    auth: list[str] = field(default_factory=list)
    anonymous: list[str] = field(default_factory=list)
    authorize: list[Settings] = field(default_factory=list)
    settings: Settings = field(default_factory=dict)
    sections: list[str] = field(default_factory=list)
    """Of middleware.yaml, that are for all routes."""
    sent: str | None = None
    """The path that backends get, whatever was asked for."""
    closes: bool = False

    def policy(self, description: Description, section: str, name: str, settings: Settings) -> None:
        """Add a rule of middleware.yaml."""
        self.policies.append(description.policy(section, name, settings, self.item.place))

    def refuse(self, why: str) -> None:
        """Name it as not translated, and close its routes."""
        self.item.unsaid(f"{why}. Its routes refuse every request until that is done: see `authorize` there")
        self.closes = True


Handler = Callable[[Item, Effect, Description], None]
"""Gets the `config` of a plugin."""

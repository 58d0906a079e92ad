"""middleware.yaml: how the four roles of a gateway reach each other."""

from typing import Final, Literal

Bus = Literal["memory", "redis"]
DESCRIPTION: Final = (
    "How discovery, router, auth and monitor reach each other. `memory`: they are all in this process. `redis`: over "
    "streams in the Redis of `redis:` (6.2 or newer), so that they can be in several processes: "
    "docs/roles.md."
)

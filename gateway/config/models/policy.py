"""Common keys of all policies: their routes, and whether they are enforced."""

from fnmatch import fnmatchcase
from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator, Field

from gateway.config.models.base import Section
from gateway.config.values.kinds import SomeOf, TextLike, or_empty

T = TypeVar("T")

RouteGlob = Annotated[
    str,
    TextLike(
        "route id, or a pattern of ids",
        "[A-Za-z0-9._*?-]{1,100}",
        "the id of a route is letters, digits, dots, hyphens and underscores; * and ? stand for others",
    ),
]
RuleName = Annotated[
    str,
    TextLike(
        "name",
        "[A-Za-z0-9][A-Za-z0-9_-]{0,62}",
        "the name of a rule is letters, digits, hyphens and underscores, at most 63",
    ),
]

Named = Annotated[
    dict[RuleName, T], Field(json_schema_extra={"type": ["object", "null"]}), BeforeValidator(or_empty({}))
]
"""Rules of one kind by their names, which logs and metrics show. May be left empty."""


class ForRoutes(Section):
    """A policy for some routes only."""

    routes: SomeOf[RouteGlob] = Field(
        ("*",),
        description="Ids of the routes that it is for. `*` stands for any text, `?` for any one character: `admin-*`.",
    )

    def applies_to(self, route_id: str) -> bool:
        """Whether it is meant for the route of this id."""
        return any(fnmatchcase(route_id, glob) for glob in self.routes)


class Policy(ForRoutes):
    """A policy that can refuse a request."""

    mode: Literal["enforce", "shadow"] = Field(
        "enforce",
        description="`shadow`: decide, count and log refusals without applying them, to observe a rule before it is "
        "enforced.",
    )

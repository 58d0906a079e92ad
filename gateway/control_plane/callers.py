"""Who calls the control plane, and what each may do in which environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final, cast, get_args
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from gateway.control_plane.problems import Problem
from gateway.control_plane.settings.roles import EVERYWHERE, Role, RoleGrant
from gateway.http import Identity

RANKS: Final[Mapping[Role, int]] = {role: rank for rank, role in enumerate(get_args(Role))}
"""Who has a role has those before it, too."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, for one request."""

    name: str
    organization: UUID
    roles: Mapping[str, Role]  # by the name of an environment, or EVERYWHERE

    def may(self, role: Role, environment: str | None = None) -> bool:
        """Whether it has this role, or a higher one, in the environment of this name; None: in all of them."""
        held = (self.roles.get(EVERYWHERE), self.roles.get(environment or EVERYWHERE))
        return any(each is not None and RANKS[each] >= RANKS[role] for each in held)

    def may_somewhere(self, role: Role) -> bool:
        """Whether it has this role in any environment."""
        return any(RANKS[held] >= RANKS[role] for held in self.roles.values())

    def require(self, role: Role, environment: str | None = None) -> None:
        """Raises Problem, a 403 that says which role is missing where."""
        if not self.may(role, environment):
            raise self._refusal(role, f"in the environment {environment}" if environment else "in all environments")

    def require_somewhere(self, role: Role) -> None:
        """The same for any environment."""
        if not self.may_somewhere(role):
            raise self._refusal(role, "in any environment")

    def _refusal(self, role: Role, where: str) -> Problem:
        has = ", ".join(f"{held} in {at}" for at, held in sorted(self.roles.items())) or "none"
        remedy = "roles are given under `roles` of control-plane.yaml"
        return Problem(403, f"{self.name} needs the role {role} {where}, and has: {has}; {remedy}")


@dataclass(frozen=True, slots=True)
class Granted:
    """Roles of an identity by the configuration, in the organization of this name."""

    organization: str
    roles: Mapping[str, Role]


def granted(identity: Identity, grants: Iterable[RoleGrant]) -> Granted | None:
    """Permissions of a caller; None: none. A caller with roles in several organizations acts in the first of them."""
    held = [grant for grant in grants if _holds(identity, grant)]
    if not held:
        return None
    organization = held[0].organization
    roles: dict[str, Role] = {}
    for grant in held:
        if grant.organization == organization:
            for environment in grant.environments:
                roles[environment] = max(roles.get(environment, grant.role), grant.role, key=RANKS.__getitem__)
    return Granted(organization, roles)


def _holds(identity: Identity, grant: RoleGrant) -> bool:
    named = identity.consumer in grant.consumers or EVERYWHERE in grant.consumers
    return named or not identity.groups.isdisjoint(grant.groups)


_BEARER: Final = HTTPBearer(
    auto_error=False,
    description="A key of auth.yaml, or a token of its issuers; where there is no auth.yaml, the token of this "
    "machine. Schemes of auth.yaml with other locations are valid, too.",
)


async def caller_of(
    request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)] = None
) -> Caller:
    """Who calls. A request that has no caller does not come as far (access.py)."""
    return cast(Caller, request.scope["state"]["caller"])


WhoCalls = Annotated[Caller, Depends(caller_of)]
"""The parameter of a handler: who calls."""

"""control-plane.yaml: who of those that auth.yaml knows may do what, where."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gateway.config.models.auth.consumers import Group, Name
from gateway.config.models.base import Model
from gateway.config.values.kinds import Several, TextLike, refuse

Role = Literal["viewer", "deployer", "admin"]

EVERYWHERE = "*"
"""In the place of an environment: all of them, those to come included."""

EnvironmentName = Annotated[
    str, TextLike("environment", r"[a-z0-9-]{1,64}|\*", "expected the name of an environment, or * for all of them")
]
OrganizationName = Annotated[
    str, TextLike("organization", "[a-z0-9-]{1,64}", "expected small letters, digits and hyphens, at most 64")
]


class RoleGrant(Model):
    """A role, and who has it where."""

    role: Role = Field(
        description="`viewer`: look. `deployer`: also revisions and rollouts. `admin`: also environments, gateways and "
        "their tokens."
    )
    consumers: Several[Name] = Field(
        (),
        description="Consumers of auth.yaml, or subjects of tokens that are none of them. `*`: everyone whom a scheme "
        "recognises.",
    )
    groups: Several[Group] = Field((), description="Members of these groups.")
    environments: Several[EnvironmentName] = Field((EVERYWHERE,), description="In which environments. Unset: in all.")
    organization: OrganizationName = Field(
        "default", description="Whose environments these are. It is made where it does not exist."
    )

    @model_validator(mode="after")
    def _has_members(self) -> RoleGrant:
        if not self.consumers and not self.groups:
            raise refuse("this role has no members; add consumers or groups")
        return self

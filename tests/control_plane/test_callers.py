"""Roles: who may do what, in which environment."""

from uuid import uuid4

import pytest
from pydantic import ValidationError

from gateway.control_plane.callers import Caller, granted
from gateway.control_plane.problems import Problem
from gateway.control_plane.settings.roles import RoleGrant
from gateway.http import Identity

ALICE = Identity("alice", "keys", groups=frozenset({"platform"}))


def test_a_role_includes_those_before_it_and_no_other() -> None:
    """A deployer may look, and may not make environments."""
    caller = Caller("alice", uuid4(), {"staging": "deployer"})
    assert caller.may("viewer", "staging")
    assert caller.may("deployer", "staging")
    assert not caller.may("admin", "staging")


def test_a_role_holds_in_its_environment_only() -> None:
    """A deployer of staging has nothing in production, and nothing in all environments."""
    caller = Caller("alice", uuid4(), {"staging": "deployer"})
    assert not caller.may("viewer", "production")
    assert not caller.may("viewer")
    assert caller.may_somewhere("deployer")
    assert not caller.may_somewhere("admin")


def test_a_refusal_says_which_role_is_missing_where_and_what_there_is() -> None:
    """Who reads the answer knows what to ask for."""
    caller = Caller("alice", uuid4(), {"staging": "deployer"})
    with pytest.raises(Problem) as refused:
        caller.require("admin", "production")
    assert refused.value.status == 403
    assert "alice needs the role admin in the environment production" in refused.value.detail
    assert "deployer in staging" in refused.value.detail


def test_roles_of_a_name_and_of_its_groups_add_up_to_the_highest_of_each_environment() -> None:
    """The order in which they are written does not matter."""
    grants = [
        RoleGrant(role="viewer", groups=("platform",)),
        RoleGrant(role="admin", consumers=("alice",), environments=("staging", "*")),
        RoleGrant(role="deployer", consumers=("alice",), environments=("staging",)),
        RoleGrant(role="admin", consumers=("bob",)),
    ]
    found = granted(ALICE, grants)
    assert found is not None
    assert found.roles == {"*": "admin", "staging": "admin"}
    assert granted(ALICE, reversed(grants)) == found


def test_a_caller_without_any_role_is_refused() -> None:
    """To be known is not enough."""
    assert granted(ALICE, [RoleGrant(role="admin", consumers=("bob",))]) is None


def test_a_caller_acts_in_the_first_organization_that_it_has_a_role_in() -> None:
    """Roles of another one give nothing there."""
    grants = [
        RoleGrant(role="viewer", consumers=("alice",), organization="acme"),
        RoleGrant(role="admin", consumers=("alice",), organization="globex"),
    ]
    found = granted(ALICE, grants)
    assert found is not None
    assert (found.organization, found.roles) == ("acme", {"*": "viewer"})


def test_a_star_is_everyone_who_is_recognised() -> None:
    """As for a company whose tokens are all good enough to look."""
    found = granted(Identity("x", "oidc"), [RoleGrant(role="viewer", consumers=("*",))])
    assert found is not None
    assert found.roles == {"*": "viewer"}


@pytest.mark.parametrize(
    "keys",
    [
        {"role": "viewer"},
        {"role": "owner", "consumers": ["a"]},
        {"role": "admin", "consumers": ["a"], "environments": ["Prod"]},
    ],
)
def test_a_role_without_members_or_environments_is_refused(keys: dict[str, object]) -> None:
    """Rather than to be without effect."""
    with pytest.raises(ValidationError):
        RoleGrant.model_validate(keys)

"""The rules of a route table, and its matches."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeVar

T = TypeVar("T")

Form = Literal["declared", "base_path", "rewritten"]
"""How a path reached its rule: as declared, with the base path in front, or already rewritten."""


@dataclass(frozen=True, slots=True)
class Predicate:
    """A predicate of a header or a query parameter: present, absent (`present=False`), `equals`, or wholly matches
    `regex`.

    At most one of `equals` and `regex` is given. Header names are compared in lower case.
    """

    name: str
    equals: str | None = None
    regex: str | None = None
    present: bool = True


@dataclass(frozen=True, slots=True)
class Rule:
    """Which requests a route wants, and how their path is changed on the way.

    `also`: further paths that it wants likewise, with the same rewrite.
    No hosts is any host, `methods=None` any method. GET answers HEAD too. Of `rewrite` and `strip_prefix`, at most
    one is given. `allow_encoded_slashes` is for the caller, which normalised the path; the table itself ignores it.
    `merge_slashes`: what is sent has one slash where the client wrote several.
    `redirect`: the rewrite is where the client is led to, on this host ("here", behind the base path that the request
    had) or on another ("away"), so that a path in its form has arrived, and is not for this rule.
    `below`: it takes only what no rule without this takes, however specific its path is.
    """

    id: str
    path: str
    hosts: tuple[str, ...] = ()
    methods: frozenset[str] | None = None
    headers: tuple[Predicate, ...] = ()
    query: tuple[Predicate, ...] = ()
    rewrite: str | None = None
    strip_prefix: str | None = None
    allow_encoded_slashes: bool = False
    merge_slashes: bool = False
    redirect: Literal["here", "away"] | None = None
    also: tuple[str, ...] = ()
    below: bool = False

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths that it wants."""
        return self.path, *self.also


class Match(NamedTuple, Generic[T]):
    """The rule that takes a request. A named tuple, because it is made for every request and costs half as much."""

    rule: Rule
    value: T
    path: str
    """The path to send upstream."""
    parameters: Mapping[str, str]
    """The text of each `{name}`, percent-encoded as it is compared. Not to be changed."""
    form: Form
    own_path: str
    """The path that was asked for in the form that the rule declares, as it is compared."""


@dataclass(frozen=True, slots=True)
class NoMatch:
    """No rule takes the request: 405 with these methods in `Allow`, or 404 when there are none."""

    allow: tuple[str, ...] = ()


def answered_methods(rule: Rule) -> frozenset[str] | None:
    """Return the methods that `rule` answers (RFC 9110, section 9.3.2: HEAD wherever GET is), None for all."""
    if rule.methods is not None and "GET" in rule.methods:
        return rule.methods | {"HEAD"}
    return rule.methods


def encoded_slash_refused(rule: Rule) -> str:
    """Why a path with an encoded slash is refused, and what to do about it."""
    return (
        f'route "{rule.id}" does not allow the encoded slash or backslash (%2F, %5C) in the path; '
        "where its backend needs them, as package registries do, set allow_encoded_slashes: true"
    )

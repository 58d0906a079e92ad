"""The declaration of a policy. Whatever depends on the policies there are (`order`, `/quota`, checks, the compiler) is
derived from these declarations and from their sequence in `table.py`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.config.models import Configuration, RouteConfig
from gateway.config.problems import Problem
from gateway.context import Builder, Context

Read = tuple[Literal["header", "parameter"], str]
"""Something of a request that decides what a policy does: the name of a header, in lower case, or of a parameter."""


def _nothing(configuration: Configuration, route: RouteConfig) -> Iterator[Read]:
    return iter(())


@dataclass(frozen=True, slots=True)
class Rules:
    """A policy made of named rules, each of which can stand in `order` by itself, as `policy.rule`.

    `builders` takes the names of the rules that do, and answers with a builder for each of them, by its name, and with
    those of the rest, under other names; and with what is wrong with the rules. `misplaced` says of the configuration
    of one such rule whether it matters to it what the declaration has in `behind`.
    """

    builders: Callable[[Context, Collection[str]], tuple[Mapping[str, Builder], list[Problem]]]
    misplaced: Callable[[Any], bool] = lambda config: False


@dataclass(frozen=True, slots=True)
class Declaration:
    """One policy. `setup.py` reads `compiled` from the source, so it is written as a plain `compiled=True`."""

    name: str  # in `order`; of a policy made of Rules also their key in middleware.yaml
    build: Builder | Rules
    behind: Mapping[str, str] = field(default_factory=dict)  # what ought to be further out, and what happens otherwise
    before: Mapping[str, str] = field(default_factory=dict)  # what ought to be further in, and what happens otherwise
    guards_quota: bool = False  # whether it stands in front of /quota, too
    reads: Callable[[Configuration, RouteConfig], Iterator[Read]] = _nothing  # no request may have these twice
    compiled: bool = False
    by_hand: bool = False  # needs no task but where it says so, and takes none from others: see `driver.py`

"""Plugins of single consumers and of their groups: limits in place of those that all have, and what keeps them out."""

from __future__ import annotations

from collections.abc import Mapping, Set
from copy import deepcopy
from dataclasses import dataclass

from gateway.importing.description import Description, Policy, Route, Settings, identifier, literal
from gateway.importing.kong.known_plugins import closing, conditions_of
from gateway.importing.kong.rate_limiting import quotas_of, store_of, windows_of
from gateway.importing.tree import Item

BOUNDLESS: Settings = {"limits": ["999999999/s"]}
BOUNDLESS_QUOTA = 10**15
_REFUSING = ("request-termination", "acl", "request-size-limiting", "bot-detection")
_NEEDLESS = ("id", "tags", "protocols", "enabled", "instance_name", "created_at", "updated_at")
_WHOSE = ("consumer", "consumer_group", "service", "route")


@dataclass(frozen=True, slots=True)
class OwnPlugin:
    """A plugin for a consumer, or for a group of them; on all routes, or those of a service or of a route."""

    item: Item
    consumer: str
    group: str
    owner: tuple[str, str] | None = None


def write(limit: OwnPlugin, owners: Mapping[Route, Set[tuple[str, str]]], description: Description) -> None:
    """Add it to the rules of its routes. `owners`: the services and routes of the original that a route is of."""
    item, config, kind = limit.item, limit.item.get("config") or limit.item, limit.item.text("name")
    name = description.consumer_ids.get(limit.consumer, limit.consumer)
    consumer = description.consumers.get(name)
    routes = [
        route
        for route in description.routes
        if route.auth and (limit.owner is None or limit.owner in owners.get(route, ()))
    ]
    if item.get("enabled") is not None and not item.flag("enabled"):
        item.unsaid("it is switched off, and left out")
    elif limit.consumer and consumer is None:
        item.unsaid(f"the file has no consumer {name}")
    elif not routes:
        item.unsaid("none of its routes asks who calls")
    elif kind.startswith("rate-limiting"):
        made = _Rules(limit, config, routes, description)
        if windows := windows_of(config):
            made.windows(windows, consumer)
        quotas = quotas_of(config)
        for window, number in quotas.items():
            made.quota(window, number, consumer)
        made.say_what_else_holds(windows, quotas)
        _done(item, config, f"limits of consumer {name}" if limit.consumer else f"tier {limit.group} of the limits")
    elif kind == "ip-restriction":
        for condition in conditions_of(config):
            _ask(routes, f"{_others(limit, name)} or {condition}")
        _done(item, config, "authorize: from where it may call")
    elif kind in _REFUSING or closing(kind, config):
        _ask(routes, _others(limit, name))
        if kind == "request-termination":
            item.differs("it is turned away with a 403")
            _done(item, config, "authorize: not this consumer, or group")
        else:
            item.unsaid(f"there is no {kind} for one consumer or group here; it is refused until configured by hand")
    else:
        item.unsaid(f"there is no {kind} for one consumer or group here: say it for all of a route, or in a policy")


def _done(item: Item, config: Item, became: str) -> None:
    config.taken()
    item.ignore_keys(*_NEEDLESS, *_WHOSE)
    item.said(became)


def _others(limit: OwnPlugin, consumer: str) -> str:
    """The condition for all other callers."""
    return f"consumer != {literal(consumer)}" if limit.consumer else f"not ({literal(limit.group)} in groups)"


def _ask(routes: list[Route], condition: str) -> None:
    for route in routes:
        route.authorize.append({"when": condition})


@dataclass(frozen=True, slots=True)
class _Rules:
    limit: OwnPlugin
    config: Item
    routes: list[Route]
    description: Description

    def windows(self, windows: list[str], consumer: Settings | None) -> None:
        rules = self._rules("rate_limits", BOUNDLESS | store_of(self.config, self.description))
        for rule in rules:
            if consumer is not None:
                consumer.setdefault("limits", {})[rule.name] = windows
            else:
                rule.settings.setdefault("tiers", {})[self.limit.group] = windows
        self._say_if_several(rules)

    def quota(self, window: str, number: int, consumer: Settings | None) -> None:
        group = self.limit.group
        if consumer is not None:
            group = identifier(f"only-{consumer['name']}")
            consumer["groups"] = list(dict.fromkeys([*consumer.get("groups", []), group]))
            self.limit.item.differs(f"backends see a group {group}, by which the quota knows its consumer")
        rules = self._rules("quotas", {"limit": BOUNDLESS_QUOTA, "window": window}, window)
        for rule in rules:
            own, tiers = {group: number}, rule.settings.pop("tiers", {})
            rule.settings["tiers"] = own | tiers if consumer is not None else tiers | own
        self._say_if_several(rules)

    def say_what_else_holds(self, windows: list[str], quotas: Mapping[str, int]) -> None:
        """The plugin takes the place of that of all, whose limits for other times hold here, too."""
        rules = [rule for route in self.routes for rule in route.policies]
        others = {rule.settings["window"] for rule in rules if rule.section == "quotas"} - quotas.keys()
        if not windows and any(rule.section == "rate_limits" and "tiers" not in rule.settings for rule in rules):
            others.add("hour or less")
        if others:
            self.limit.item.differs(f"the limits of all for these times hold, too: {', '.join(sorted(others))}")

    def _rules(self, section: str, boundless: Settings, window: str = "") -> list[Policy]:
        """The rules of these routes, and one for those that have none. None of them is for other routes, too."""
        found: dict[Policy, list[Route]] = {}
        without = []
        for route in self.routes:
            rules = [
                rule for rule in route.policies if rule.section == section and rule.settings.get("window", "") == window
            ]
            for rule in rules:
                found.setdefault(rule, []).append(route)
            if not rules:
                without.append(route)
        made = [self._only_for(rule, routes) for rule, routes in found.items()]
        if without:
            name = "-".join(filter(None, ("limit", str(self.limit.item.line), window)))
            rule = self.description.policy(section, name, {"key": ["consumer"]} | boundless, self.limit.item.place)
            for route in without:
                route.policies.append(rule)
            self.limit.item.differs("there is no limit for others: they get one that is too high to be reached")
            made.append(rule)
        return made

    def _only_for(self, rule: Policy, routes: list[Route]) -> Policy:
        others = {each for each in self.description.routes if rule in each.policies}.difference(routes)
        if not others or self.limit.owner is None:
            return rule
        own = self.description.policy(rule.section, rule.name, deepcopy(rule.settings), rule.place)
        for consumer in self.description.consumers.values():
            if rule.name in consumer.get("limits", {}):
                consumer["limits"][own.name] = consumer["limits"][rule.name]
        for route in routes:
            route.policies[route.policies.index(rule)] = own
        self.limit.item.differs("its routes are counted apart from the others with the same limit")
        return own

    def _say_if_several(self, rules: list[Policy]) -> None:
        if len(rules) > 1:
            self.limit.item.differs(f"it holds for each of {len(rules)} rules, not for all of their routes together")
        if any(rule.settings["key"] != ["consumer"] for rule in rules):
            self.limit.item.differs("requests are counted as those of the limit that all have")

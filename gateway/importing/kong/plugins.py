"""Plugins of Kong: which there are, for whom, and what each adds to the routes that have it."""

from __future__ import annotations

from gateway.importing.description import Description, Settings
from gateway.importing.kong.effects import Effect
from gateway.importing.kong.known_plugins import PLUGINS, closing, windows_of
from gateway.importing.tree import Item


class Plugins:
    """Makes the effects of plugins, each once."""

    def __init__(self, root: Item, description: Description) -> None:
        self._shared = root.get("_plugin_configs")
        self._description = description
        self._made: dict[tuple[str | int, ...], Effect] = {}

    def effects(self, items: list[Item]) -> dict[str, Effect]:
        """What these plugins do, by their names."""
        found = {}
        for item in items:
            name = item.text("name")
            if item.get("enabled") is not None and not item.flag("enabled"):
                item.unsaid("it is switched off, and left out")
                continue
            if item.path not in self._made:
                self._made[item.path] = self._effect(name, item)
            found[f"{name} of {item.line}" if item.get("consumer") else name] = self._made[item.path]
        return found

    def _effect(self, name: str, item: Item) -> Effect:
        if name == "request-termination" and (consumer := item.get("consumer")) is not None:
            return self._banned(item, consumer.own_text or consumer.text("username"))
        item.ignore_keys("id", "tags", "protocols", "route", "service", "instance_name", "created_at", "updated_at")
        item.ignore_default("ordering", None)
        item.ignore_default("run_on", "first", "all")
        effect = Effect(item)
        config = item.get("config") or self._shared_config(item) or item
        if (handler := PLUGINS.get(name)) is not None:
            handler(config, effect, self._description)
            item.said(f"plugin {name}: " + _summary(effect))
        elif why := closing(name, config):
            effect.refuse(why)
        else:
            item.unsaid(f"there is nothing like the plugin {name}; docs/coming-from.md says what may stand in for it")
        return effect

    def _banned(self, item: Item, consumer: str) -> Effect:
        """One consumer is turned away."""
        effect = Effect(item)
        name = self._description.consumer_ids.get(consumer, consumer)
        effect.authorize.append({"when": f'consumer != "{name}"'})
        (item.get("config") or item).ignore()
        item.ignore_keys("route", "service", "id", "tags", "protocols")
        item.said(f"authorize: not the consumer {name}")
        item.differs("it is turned away with a 403")
        return effect

    def _shared_config(self, item: Item) -> Item | None:
        name = item.text("_config")
        return self._shared.get(name) if self._shared is not None and name else None


def _summary(effect: Effect) -> str:
    parts = [f"{policy.section}{'.' + policy.name if policy.name else ''}" for policy in effect.policies]
    parts += [f"auth {name}" for name in effect.auth] + ["authorize" for _ in effect.authorize] + list(effect.settings)
    return ", ".join(dict.fromkeys(parts)) or "nothing to write"


def of_consumers(root: Item, groups: dict[str, list[str]], plugins: Plugins, description: Description) -> None:
    """Plugins of consumers and of their groups: limits of their own."""
    for item in root.items("consumers"):
        name = item.text("username") or item.text("custom_id")
        for plugin in item.items("plugins"):
            _own_limits(plugin, description.consumers.get(name), description)
    for item in root.items("plugins"):
        consumer = item.get("consumer")
        if consumer is not None:
            _own_limits(item, description.consumers.get(consumer.own_text or consumer.text("username")), description)
        elif item.get("consumer_group") is not None:
            _tier(item, item.text("consumer_group"), description)
    for group in root.items("consumer_groups"):
        for plugin in group.items("plugins"):
            _tier(plugin, group.text("name"), description)


def _own_limits(item: Item, consumer: Settings | None, description: Description) -> None:
    config = item.get("config") or item
    limits = windows_of(config) if item.text("name").startswith("rate-limiting") else []
    names = [name for name in description.limit_names if limits]
    if consumer is None or not limits or not names:
        item.unsaid("a plugin of one consumer can only be a rate limit here, beside one that all have")
        return
    consumer["limits"] = dict.fromkeys(names, limits)
    config.taken()
    item.ignore_keys("consumer", "id", "tags", "protocols", "enabled")
    item.said(f"limits of consumer {consumer['name']}")


def _tier(item: Item, group: str, description: Description) -> None:
    config = item.get("config") or item
    limits = windows_of(config) if item.text("name").startswith("rate-limiting") else []
    if not limits or not description.limits:
        item.unsaid("a plugin of a group can only be a rate limit here, beside one that all have")
        return
    for settings in description.limits:
        settings.setdefault("tiers", {})[group] = limits
    config.taken()
    item.ignore_keys("consumer_group", "id", "tags", "protocols", "enabled")
    item.said(f"tier {group} of the rate limits")

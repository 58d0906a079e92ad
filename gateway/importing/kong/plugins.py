"""Plugins of Kong: which there are, for whom, and what each adds to the routes that have it."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.importing.description import Description
from gateway.importing.kong.effects import Effect
from gateway.importing.kong.known_plugins import PLUGINS, closing
from gateway.importing.kong.own_plugins import OwnPlugin
from gateway.importing.tree import Item


class Plugins:
    """Makes the effects of plugins, each once."""

    def __init__(self, root: Item, description: Description) -> None:
        self._shared = root.get("_plugin_configs")
        self._description = description
        self._made: dict[tuple[str | int, ...], Effect] = {}
        self.own: dict[tuple[str | int, ...], OwnPlugin] = {}

    def effects(self, items: list[Item], owner: tuple[str, str] | None = None) -> dict[str, Effect]:
        """What these plugins do, by their names. Those of consumers are kept in `own`, as they are for these only."""
        found = {}
        for item in items:
            name = item.text("name")
            if (own := own_plugin(item, owner)) is not None:
                self.own[item.path] = own
                continue
            if item.get("enabled") is not None and not item.flag("enabled"):
                item.unsaid("it is switched off, and left out")
                continue
            if item.path not in self._made:
                self._made[item.path] = self._effect(name, item)
            found[name] = self._made[item.path]
        return found

    def _effect(self, name: str, item: Item) -> Effect:
        item.ignore_keys("id", "tags", "protocols", "route", "service", "instance_name", "created_at", "updated_at")
        item.ignore_default("ordering", None)
        item.ignore_default("run_on", "first", "all")
        effect = Effect(item)
        config = item.get("config") or self._shared_config(item) or item
        if (handler := PLUGINS.get(name)) is not None:
            handler(config, effect, self._description)
            parts = [f"{policy.section}{'.' + policy.name if policy.name else ''}" for policy in effect.policies]
            parts += (
                [f"auth {name}" for name in effect.auth]
                + ["authorize" for _ in effect.authorize]
                + list(effect.settings)
            )
            item.said(f"plugin {name}: " + (", ".join(dict.fromkeys(parts)) or "nothing to write"))
        elif why := closing(name, config):
            effect.refuse(why)
        else:
            item.unsaid(f"there is nothing like the plugin {name}; docs/coming-from.md says what may stand in for it")
        return effect

    def _shared_config(self, item: Item) -> Item | None:
        name = item.text("_config")
        return self._shared.get(name) if self._shared is not None and name else None


def of_consumers(root: Item) -> Iterator[OwnPlugin]:
    """Plugins that stand below consumers and their groups."""
    for consumer in root.items("consumers"):
        for plugin in consumer.items("plugins"):
            yield OwnPlugin(plugin, consumer.text("username") or consumer.text("custom_id"), "", scope(plugin))
    for group in root.items("consumer_groups"):
        for plugin in group.items("plugins"):
            yield OwnPlugin(plugin, "", group.text("name"), scope(plugin))


def own_plugin(item: Item, owner: tuple[str, str] | None) -> OwnPlugin | None:
    """The plugin as one of a consumer or a group; None where it is for all."""
    consumer, group = reference(item, "consumer"), reference(item, "consumer_group")
    return OwnPlugin(item, consumer, group, scope(item) or owner) if consumer or group else None


def scope(item: Item) -> tuple[str, str] | None:
    """The route or service that a plugin names."""
    named = ((kind, reference(item, kind)) for kind in ("route", "service"))
    return next(((kind, name) for kind, name in named if name), None)


def reference(item: Item, key: str) -> str:
    """The name or id that a key refers to, written as a text or as `{name: ...}`."""
    below = item.get(key)
    if below is None:
        return ""
    return below.own_text or below.text("name") or below.text("username") or below.text("id")

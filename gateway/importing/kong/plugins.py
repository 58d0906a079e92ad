"""Plugins of Kong: which there are, for whom, and what each adds to the routes that have it."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.importing.description import Description
from gateway.importing.kong.effects import Effect
from gateway.importing.kong.known_plugins import ELSEWHERE, PLUGINS, closing
from gateway.importing.kong.own_plugins import OwnPlugin
from gateway.importing.tree import Item


class Plugins:
    """The effects of plugins by name, made once for each: of those for all routes, of a service or of a route."""

    def __init__(self, root: Item, description: Description) -> None:
        self._shared = root.get("_plugin_configs")
        self._description = description
        self._made: dict[tuple[str | int, ...], Effect] = {}
        self.own: dict[tuple[str | int, ...], OwnPlugin] = {}
        self._by_scope: dict[tuple[str, str] | None, list[Item]] = {}
        for item in root.items("plugins"):
            self._by_scope.setdefault(scope(item), []).append(item)
        self.everywhere = self._effects(self._by_scope.get(None, []))

    def of(self, item: Item, kind: str) -> dict[str, Effect]:
        """The effects of the plugins of a service or route, which stand in it or name it."""
        names = sorted(names_of(kind, item))
        referring = [plugin for name in names for plugin in self._by_scope.get(name, [])]
        return self._effects([*item.items("plugins"), *referring], names[0] if names else None)

    def _effects(self, items: list[Item], owner: tuple[str, str] | None = None) -> dict[str, Effect]:
        """The effects of these plugins, by name. Those of consumers are kept in `own`, as they apply to these only."""
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
        config = item.get("config")
        if config is None:
            shared = item.text("_config")
            config = self._shared.get(shared) if self._shared is not None and shared else None
        config = config or item
        if (handler := PLUGINS.get(name)) is not None:
            handler(config, effect, self._description)
            parts = [*effect.sections]
            parts += [f"{policy.section}{'.' + policy.name if policy.name else ''}" for policy in effect.policies]
            parts += (
                [f"auth {name}" for name in effect.auth]
                + ["authorize" for _ in effect.authorize]
                + list(effect.settings)
                + ["rewrite"] * (effect.sent is not None)
            )
            item.said(f"plugin {name}: " + (", ".join(dict.fromkeys(parts)) or "nothing to write"))
        elif why := closing(name, config):
            effect.refuse(why)
        else:
            other = f"there is nothing like the plugin {name}; docs/coming-from.md says what may stand in for it"
            item.unsaid(ELSEWHERE.get(name, other))
        return effect


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


def names_of(kind: str, item: Item) -> set[tuple[str, str]]:
    """What plugins may call a service or route: its name and its id."""
    return {(kind, name) for name in (item.text("name"), item.text("id")) if name}


def reference(item: Item, key: str) -> str:
    """The name or id that a key refers to, written as a text or as `{name: ...}`."""
    below = item.get(key)
    if below is None:
        return ""
    return below.own_text or below.text("name") or below.text("username") or below.text("id")

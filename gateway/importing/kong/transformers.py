"""The plugins of Kong that change messages."""

from __future__ import annotations

import re

from gateway.importing.description import Description, Settings
from gateway.importing.headers import escaped, header_value, is_secret
from gateway.importing.kong.effects import Effect
from gateway.importing.tree import Item

_CAPTURED = re.compile(r"""\$\(uri_captures(?:\.(\w+)|\[["'](\w+)["']\])\)""")


def request_transformer(config: Item, effect: Effect, description: Description) -> None:
    """Headers and query parameters on the way to the backend."""
    changes = _Changes(description, of_requests=True)
    for action in ("remove", "replace", "rename", "add", "append"):
        if (below := config.get(action)) is not None:
            changes.headers(action, below)
            for parameter in below.items("querystring"):
                name, _, value = parameter.own_text.partition(":")
                if action not in ("add", "replace") or "$(" in value or is_secret(name):
                    parameter.unsaid("query parameters are set to a value (`set` of routes), and not otherwise changed")
                    continue
                effect.settings.setdefault("set", {})[f"query.{name.strip()}"] = escaped(value.strip())
                parameter.differs("it is set whether the request had such a parameter or not")
            for key in ("body", "json", "json_types"):
                for item in below.items(key):
                    item.unsaid("only headers are changed; say it in the backend or in a policy")
            if (uri := below.get("uri")) is not None:
                # It replaces the path that the route and its service make of that of the request.
                path = _CAPTURED.sub(lambda match: "{" + (match[1] or match[2]) + "}", uri.own_text)
                if action != "replace" or "$" in path or not path.startswith("/"):
                    uri.unsaid(
                        "a path is written as the `rewrite` of the routes: with {name} for what their paths capture by "
                        "name"
                    )
                else:
                    effect.sent = path
    if (method := config.get("http_method")) is not None:
        method.unsaid("methods are not changed")
    config.ignore_default("allow", None)
    if changes.settings:
        effect.policy(description, "headers", f"request-headers-{effect.item.line}", {"request": changes.settings})


def response_transformer(config: Item, effect: Effect, description: Description) -> None:
    """Headers on the way back."""
    changes = _Changes(description, of_requests=False)
    for action in ("remove", "replace", "rename", "add", "append"):
        if (below := config.get(action)) is not None:
            changes.headers(action, below)
            for key in ("json", "json_types", "if_status"):
                for item in below.items(key):
                    item.unsaid("only headers are changed; say it in the backend or in a policy")
    if changes.settings:
        effect.policy(description, "headers", f"response-headers-{effect.item.line}", {"response": changes.settings})


class _Changes:
    """Headers that a transformer changes."""

    def __init__(self, description: Description, *, of_requests: bool) -> None:
        self.settings: Settings = {}
        self._description = description
        self._of_requests = of_requests

    def headers(self, action: str, below: Item) -> None:
        """Take the entries `name:value` of one action."""
        for item in below.items("headers"):
            name, _, value = item.own_text.partition(":")
            name = name.strip()
            if action == "remove":
                self.settings.setdefault("remove", []).append(name)
                continue
            if action == "rename" and not self._of_requests:
                item.unsaid("a header of a response is not renamed; have the backend send it under its name")
                continue
            if action == "rename":
                self.settings.setdefault("set", {})[value.strip()] = "{headers." + name.lower() + "}"
                self.settings.setdefault("remove", []).append(name)
                continue
            text = header_value(name, value.strip(), item, self._description)
            if text is None:
                continue
            if action == "replace":
                item.differs("it is set also where the message had no such header")
            if action == "add":
                item.differs("it is set also where the message had such a header already")
            self.settings.setdefault("add" if action == "append" else "set", {})[name] = text

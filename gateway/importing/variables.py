"""Placeholders in configurations: what another tool would have filled in becomes an environment variable of ours."""

from __future__ import annotations

import re

from gateway.importing.description import Description, Reference
from gateway.importing.report import Variable
from gateway.importing.tree import Item

_ENV = re.compile(
    r"""\$\{\{\s*env\s+["']?([\w-]+)["']?\s*\}\}|\{\{\s*env\s+["'`]([\w-]+)["'`]\s*\}\}"""
    r"""|\{vault://(?:env/)?([^}]+)\}|\$\{([A-Za-z_]\w*)\}|\$([A-Z][A-Z0-9_]+)\b"""
)


def filled_in(item: Item | None, description: Description, what: str = "what the placeholder stands for") -> str:
    """The text of a value; a `Reference`, where it has the placeholder of a variable in it. `what`: for the report."""
    if item is None:
        return ""
    text = item.own_text
    if not _ENV.search(text):
        return text

    def variable(match: re.Match[str]) -> str:
        name = next(group for group in match.groups() if group)
        name = re.sub(r"\W+", "_", name).strip("_").upper()
        name = name if name[:1].isalpha() else f"V_{name}"
        is_port = text[match.start() - 1 : match.start()] == ":"
        variable = Variable(item.place, what, "8080" if is_port else "")
        description.report.variables.setdefault(name, variable)
        return "${" + name + "}"

    return Reference(_ENV.sub(variable, text))

"""The recipes of docs/backends.md are configurations."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.config.support import parsed

PAGE = Path("docs/backends.md").read_text()
KEYS = "schemes: {keys: {api_key: {header: x-api-key}}}"


def recipes() -> list[str]:
    """The blocks that are of our files: with services or routes, or marked with the name of a file."""
    blocks: list[str] = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [block for block in blocks if re.match(r"services:|routes:|# (routes|middleware)\.yaml", block)]


def files_of(recipe: str) -> tuple[str, str]:
    """The routes.yaml of a recipe, with the services or routes that it leaves out, and its middleware.yaml."""
    parts = re.split(r"^# (routes|middleware)\.yaml.*\n", f"# routes.yaml\n{recipe}", flags=re.MULTILINE)
    texts = {"routes": "", "middleware": ""}
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        texts[name] += text
    routes = texts["routes"]
    if routes.startswith("-"):
        routes = f"routes:\n{routes}"
    said: dict[str, Any] = yaml.load(routes, yaml.BaseLoader) or {}
    if "services" not in said:
        services = {route["target"]: {"endpoints": ["127.0.0.1:1"]} for route in said.get("routes", ())}
        routes += yaml.safe_dump({"services": services})
    if "routes" not in said:
        targets = [*said.get("services", ()), "127.0.0.1:1"]
        routes += yaml.safe_dump({"routes": [{"path": f"/{n}", "target": name} for n, name in enumerate(targets)]})
    return routes, texts["middleware"]


@pytest.mark.parametrize("recipe", recipes())
def test_every_recipe_can_be_used_as_it_is_written(recipe: str) -> None:
    """A recipe is accepted, with services or routes around it where it leaves them out."""
    routes, middleware = files_of(recipe)
    parsed(routes, middleware=middleware, auth=KEYS, environment={"ZONE": "a"})

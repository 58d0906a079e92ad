"""YAML that pages show, as whole files: what a sample leaves out is put around it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from pydantic import BaseModel

from gateway.config.models import AuthFile, MiddlewareFile, RoutesFile
from gateway.config.models.llm.file import ModelsFile
from gateway.config.models.routes import RouteConfig

NAMES = ("routes", "middleware", "auth", "models")
MARK = re.compile(r"^# (routes|middleware|auth|models)\.yaml.*\n", re.MULTILINE)
MODELS: Mapping[str, type[BaseModel]] = {
    "routes": RoutesFile,
    "middleware": MiddlewareFile,
    "auth": AuthFile,
    "models": ModelsFile,
}
SCHEMES = {"schemes": {"keys": {"api_key": {"header": "x-api-key"}}}}
OPEN_TARGET = "127.0.0.1:1"


def files_of(sample: str) -> Iterator[Mapping[str, str]]:
    """The files that a sample is, each set of them whole; several where it shows alternatives (a key that comes again).

    Raises ValueError where it is neither marked with the name of a file, nor has keys of one.
    """
    if MARK.search(sample):
        sample = sample if MARK.match(sample) else f"# routes.yaml\n{sample}"
        parts = MARK.split(sample)
        texts: dict[str, str] = dict.fromkeys(NAMES, "")
        for name, text in zip(parts[1::2], parts[2::2], strict=True):
            texts[name] += text
        yield _whole(texts)
        return
    for alternative in _alternatives(sample):
        yield _whole({_file_of(alternative): _in_its_file(alternative)})


def _alternatives(sample: str) -> list[str]:
    """A sample cut in front of each key that it has already."""
    found: list[list[str]] = [[]]
    keys: set[str] = set()
    for line in sample.splitlines(keepends=True):
        key = line.partition(":")[0] if line[0].isalpha() else ""
        if key and key in keys:
            found.append([])
            keys.clear()
        keys.add(key)
        found[-1].append(line)
    return ["".join(lines) for lines in found]


def _file_of(text: str) -> str:
    said = yaml.load(text, yaml.BaseLoader)
    if isinstance(said, list) or _is_route(said):
        return "routes"
    for name in NAMES:
        if said.keys() <= MODELS[name].model_fields.keys():
            return name
    raise ValueError(f"no file has these keys together: {', '.join(said)}; write `# routes.yaml` above them")


def _is_route(said: Mapping[str, Any]) -> bool:
    return said.keys() <= RouteConfig.model_fields.keys() and not said.keys() <= AuthFile.model_fields.keys()


def _in_its_file(text: str) -> str:
    said = yaml.load(text, yaml.BaseLoader)
    if isinstance(said, list):
        return f"routes:\n{text}"
    if not _is_route(said) or said.keys() <= MiddlewareFile.model_fields.keys():
        return text
    lines = [] if "path" in said or "paths" in said else ["path: /sample/*"]
    lines += [] if said.keys() & {"target", "redirect", "respond"} else [f"target: {OPEN_TARGET}"]
    return "routes:\n- " + "\n  ".join([*lines, *text.splitlines()]) + "\n"


def _whole(texts: Mapping[str, str]) -> Mapping[str, str]:
    """With the services, routes and schemes that a sample only names."""
    routes, auth = texts.get("routes", ""), texts.get("auth", "")
    if routes.startswith("-"):
        routes = f"routes:\n{routes}"
    said: dict[str, Any] = yaml.load(routes, yaml.BaseLoader) or {}
    if "services" not in said:
        described = {"models"} & texts.keys()  # a target that models.yaml describes is no service
        named = {name for name in _targets(said) if re.fullmatch(r"[a-z0-9-]+", name)} - described
        services = {name: {"endpoints": [OPEN_TARGET]} for name in sorted(named)}
        routes += yaml.safe_dump({"services": services}) if services else ""
    if "routes" not in said and "groups" not in said:
        names = [*said.get("services", ()), OPEN_TARGET]
        routes += yaml.safe_dump({"routes": [{"path": f"/{n}", "target": name} for n, name in enumerate(names)]})
    if not auth:
        auth = yaml.safe_dump(SCHEMES | ({"default": ["keys"]} if texts.get("models") else {}))
    elif "schemes:" not in auth:
        auth += yaml.safe_dump(SCHEMES)
    others = {name: texts[name] for name in ("middleware", "models") if texts.get(name)}
    return {"routes": routes, "middleware": "", "auth": auth, **others}


def _targets(said: Any) -> set[str]:
    """Everything that is called a target, at any depth."""
    if isinstance(said, list):
        return set().union(*map(_targets, said))
    if not isinstance(said, dict):
        return set()
    own = {said["target"]} if isinstance(said.get("target"), str) else set()
    return own.union(*map(_targets, said.values()))

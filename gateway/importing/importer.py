"""Which gateway a file is for, and the way from it to our files."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.check import compiled
from gateway.config.load import parse
from gateway.config.problems import ConfigError, Problem
from gateway.config.yaml.compose import compose
from gateway.config.yaml.document import Mapping, Node
from gateway.config.yaml.text import MAX_BYTES
from gateway.importing import kong, krakend, traefik
from gateway.importing.description import Description
from gateway.importing.nginx import read_nginx
from gateway.importing.own import own_file
from gateway.importing.repair import GONE, repair, targets_of
from gateway.importing.report import Report
from gateway.importing.toml import compose_toml
from gateway.importing.tree import Item, Seen
from gateway.importing.writing import written

Reader = Callable[[Item], Description]


@dataclass(frozen=True, slots=True)
class Imported:
    """Our files by name, the certificates that theirs have among them, and the report on how they came about.
    `private`: those that only their owner may read."""

    files: dict[str, str]
    report: Report
    private: frozenset[str] = frozenset()


def import_file(path: Path) -> Imported:
    """Read the configuration of another gateway. Raises ConfigError, with the place, where it cannot be read."""
    try:
        with path.open("rb") as stream:  # which may have no end
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([Problem(str(path), 0, 0, "", f"it cannot be read: {error.strerror}")]) from None
    if len(data) > MAX_BYTES:
        raise ConfigError(
            [Problem(path.name, 0, 0, "", f"the file is larger than {MAX_BYTES // 1024**2} MiB; import a part")]
        )
    if _is_nginx(path.name, data):
        report = Report(path.name, "nginx.conf", directory=path.parent)
        description = read_nginx(path, report)
    else:
        node = _tree(path.name, data)
        kind, reader, fold = _reader(node)
        if reader is None:
            raise ConfigError([Problem(path.name, 0, 0, "", kind)])
        report = Report(path.name, kind, directory=path.parent)
        root = Item(node, 1, (), Seen(report, fold))
        description = reader(root)
        root.rest()
    # Our files, without what they would not accept, which is named in the report.
    base = path.parent
    for _ in range(MOST_REPAIRS):
        made = written(description)
        problem = next(iter(problems_of(Imported(made.files, description.report), base)), None)
        if problem is None or not repair(description, made.routes, problem):
            break
    if all(route.settings == GONE for route in made.routes):
        raise ConfigError([Problem(path.name, 0, 0, "", "no route in it could be translated:\n" + report.markdown([]))])
    asked = {target for route in description.routes for target in targets_of(route)}
    services = [settings for name, settings in description.services.items() if name in asked]
    named = {value for settings in services for value in settings.get("tls", {}).values()}
    report.files = {name: needed for name, needed in report.files.items() if name in named}
    beside = {name: file.text for name, file in description.files.items() if file.text is not None and name in named}
    return Imported(made.files | beside, report, frozenset(name for name in beside if name.endswith(".key")))


MOST_REPAIRS = 100


def problems_of(imported: Imported, base: Path) -> Sequence[Problem]:
    """Errors of the written files, with some value for every variable; `base` is their directory. Which certificates
    are not there is in the report."""
    stand_ins = imported.report.stand_ins()
    files = {name: text.encode() for name, text in imported.files.items() if name.endswith(".yaml")}
    try:
        compiled(parse(files, stand_ins, base=base))
    except ConfigError as error:
        return [problem for problem in error.problems if not _is_about_a_file(problem)]
    return ()


def _is_about_a_file(problem: Problem) -> bool:
    """Whether a certificate or key of a service cannot be used."""
    named = re.fullmatch(r"services\b.*\.tls\.(?:ca|certificate_file|key_file)", problem.where)
    return named is not None and " cannot be used: " in problem.message


_STATIC = (
    "this is the static configuration of Traefik, which has no routes; import the file that its providers.file names"
)
_OURS = (
    "this is a {} of this gateway already: gateway check --config DIRECTORY says whether it would be served; routes of "
    "another file can stand beside it, as routes.NAME.yaml"
)
_UNKNOWN = (
    "this is no configuration that can be read: a kong.yml has `_format_version`, a dynamic file of Traefik `http`, a "
    "krakend.json `endpoints`, an nginx.conf `server { ... }`"
)


def _is_nginx(name: str, data: bytes) -> bool:
    """By its name, or by a block that YAML would not have."""
    if name.endswith((".yml", ".yaml", ".json", ".toml")):
        return False
    return name.endswith(".conf") or re.search(rb"(?m)^\s*(?:server|http|upstream\s+\S+)\s*\{", data) is not None


def _tree(name: str, data: bytes) -> Node:
    if name.endswith(".toml"):
        return compose_toml(name, data)
    if b"{{" in data and name.endswith(".json"):
        problem = Problem(
            name, 0, 0, "", "this is a template; have krakend render it (FC_OUT), and import what comes out"
        )
        raise ConfigError([problem])
    document, problems = compose(name, data.replace(b"\t", b" ") if name.endswith(".json") else data)
    if document is None or document.root is None or problems:
        raise ConfigError(problems or [Problem(name, 0, 0, "", "the file is empty")])
    return document.root


def _reader(node: Node) -> tuple[str, Reader | None, bool]:
    """The name of a file, or its error; its reader; whether the case of its keys is ignored."""
    keys = node.entries.keys() if isinstance(node, Mapping) else set()
    if (ours := own_file(node)) is not None:
        return _OURS.format(ours), None, False
    if "_format_version" in keys or "services" in keys:
        return "kong.yml", kong.read, False
    if keys & {"http", "tcp", "udp"}:
        return "a dynamic file of Traefik", traefik.read, True
    if "endpoints" in keys:
        return "krakend.json", krakend.read, False
    if keys & {"entryPoints", "providers", "certificatesResolvers"}:
        return _STATIC, None, False
    return _UNKNOWN, None, False

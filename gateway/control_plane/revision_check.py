"""Is a bundle right? What `gateway check` would say of it, as far as that can be known without its gateways.

Nothing of this machine goes into it: no variable, and no file. What only the gateways have (variables, secret files,
certificates, Python policies) is a warning, and something stands for it. No code is run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.bundles import Bundle
from gateway.check import RESOLVE_SECONDS, STAND_INS, UNCHECKED, WARNINGS, compiled
from gateway.config import checks
from gateway.config.files import guardrail_files, policy_files
from gateway.config.host_names import host_names, perhaps_meant
from gateway.config.load import parse
from gateway.config.models import FILES, Configuration
from gateway.config.problems import ConfigError, Fault, Problem, says_more
from gateway.config.route_files import MAIN, is_route_file
from gateway.config.secrets import KnownSecrets
from gateway.config.yaml.compose import compose
from gateway.config.yaml.document import Mapping, Node, Scalar
from gateway.config.yaml.expand import missing_variable
from gateway.config.yaml.places import to_problem
from gateway.control_plane.revision_secrets import plain_secrets
from gateway.outside.host_lookups import HostLookups

if TYPE_CHECKING:
    from gateway.config.models.llm.file import ModelsFile

MOST_PROBLEMS = 500

LOCAL_KEY = "control_plane"
"""Keys that are only in a gateway's own middleware.yaml: its control plane."""

_NOWHERE = Path("/nonexistent/revision")
_ELSEWHERE = "it is not in the revision"
_ABSENT = f" cannot be used: {_ELSEWHERE};"
_FILES = "${file:}"
_STAND_INS = (
    STAND_INS[0],
    "http://unset.invalid",
    "https://unset.invalid",
    "/unset",
    "5s",
    "1",
    "10MiB",
    "true",
    "10%",
    "unset.invalid:80",
    "redis://unset.invalid",
    "127.0.0.1",
    "sha256:" + "0" * 64,
)


@dataclass(frozen=True, slots=True)
class Checked:
    """Errors and warnings of a bundle, each in the order of files and lines."""

    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def check_bundle(bundle: Bundle, *, resolve: bool = True) -> Checked:
    """Every error; where there is none, every warning. Takes seconds of the processor where there are many routes: not
    for the event loop. `resolve`: ask for the names of hosts, too."""
    secrets = KnownSecrets()
    try:
        problems = list(_problems(bundle, secrets, resolve=resolve))
    except ConfigError as error:
        problems = list(error.problems)
    hidden = {replace(each, message=secrets.hide(each.message)) for each in problems}
    shown = sorted(hidden, key=lambda each: (each.file, each.line, each.column, each.message))
    errors = tuple(problem for problem in shown if problem.severity == "error")[:MOST_PROBLEMS]
    return Checked(errors, () if errors else tuple(shown)[:MOST_PROBLEMS])


def _problems(bundle: Bundle, secrets: KnownSecrets, *, resolve: bool) -> Iterator[Problem]:
    """Raises ConfigError."""
    files = {name: content for name, content in bundle.files.items() if name in FILES or is_route_file(name)}
    errors = [*_names(bundle), *_local(files)]
    try:
        configuration, unset = _parsed(files, secrets)
    except ConfigError as error:
        raise ConfigError([*errors, *error.problems]) from None
    yield from unset
    if configuration is None:
        yield Problem(MAIN, 0, 0, "", UNCHECKED, "warning")
        if errors:
            raise ConfigError(errors)
        return
    errors += plain_secrets(configuration)
    if errors:
        raise ConfigError(errors)
    alone = _without_code(configuration)
    if configuration.named:
        for name in sorted(configuration.named):
            file, node = next(_scalars(configuration, name), (MAIN, None))
            line, column = (node.line, node.column) if node is not None else (0, 0)
            message = f"the file {name} is not in the revision; it must be on each gateway"
            yield Problem(file, line, column, "", message, "warning")
    else:
        compiled(alone)
    yield from checks.run(checks.WARNINGS if configuration.named else WARNINGS, configuration, "warning")
    yield from _code(configuration, files)
    yield from _not_read(bundle, configuration)
    if resolve:
        yield from _unresolved(configuration)


def _names(bundle: Bundle) -> Iterator[Problem]:
    for name in bundle.files:
        meant = name.removesuffix(".yml") + ".yaml"
        if name.endswith(".yml") and (meant in FILES or is_route_file(meant)):
            yield Problem(name, 0, 0, "", f"this file is not read; rename it to {meant}")


def _local(files: dict[str, bytes]) -> Iterator[Problem]:
    """A revision that says which control plane its gateways listen to could cut them off from this one."""
    document, _ = compose("middleware.yaml", files.get("middleware.yaml", b""))
    root = document.root if document is not None else None
    if isinstance(root, Mapping) and LOCAL_KEY in root.entries:
        entry = root.entries[LOCAL_KEY]
        message = "this is local to each gateway, and cannot be in a revision; remove it here, and leave it there"
        yield Problem("middleware.yaml", entry.line, entry.column, LOCAL_KEY, message)


def _parsed(files: dict[str, bytes], secrets: KnownSecrets) -> tuple[Configuration | None, list[Problem]]:
    """The configuration, with something in the place of what is not known here, and a warning for each of these. None:
    nothing fits. Raises ConfigError for all else that is wrong."""
    try:
        return parse(files, {}, base=_NOWHERE, secrets=secrets, read=_absent), []
    except ConfigError as error:
        unknown = [problem for problem in error.problems if _unknown(problem)]
        others = [problem for problem in error.problems if not _unknown(problem)]
        if not all(map(says_more, others)):
            raise ConfigError(others) from None
        warnings = [replace(problem, severity="warning") for problem in unknown]
    made, elsewhere = _with_stand_ins(files, unknown)
    return made, [*warnings, *elsewhere]


def _with_stand_ins(files: dict[str, bytes], unknown: list[Problem]) -> tuple[Configuration | None, Iterable[Problem]]:
    """Each value that is not known here gets the next stand-in for as long as its place refuses the one it has. Where
    none fits in the end, what is wrong at other places, which may be for the stand-ins alone."""
    places: dict[tuple[str, int, int], set[str]] = {}
    for problem in unknown:
        places.setdefault((problem.file, problem.line, problem.column), set()).add(_unknown(problem) or _FILES)
    chosen = dict.fromkeys({_FILES}.union(*places.values()), 0)
    refused: dict[tuple[str, int, int], Problem] = {}
    for _ in _STAND_INS:
        texts = {name: _STAND_INS[number] for name, number in chosen.items()}
        try:
            return parse(files, texts, base=_NOWHERE, read=partial(_stand_in, texts[_FILES])), ()
        except ConfigError as error:
            refused = {(problem.file, problem.line, problem.column): problem for problem in error.problems}
        for name in set[str]().union(*(places.get(place, set()) for place in refused)):
            chosen[name] = min(chosen[name] + 1, len(_STAND_INS) - 1)
    return None, [replace(each, severity="warning") for place, each in refused.items() if place not in places]


def _stand_in(text: str, path: Path) -> str:
    return text


def _unknown(problem: Problem) -> str | None:
    """The variable of which a problem says that it is not set here, or _FILES of a file; None: it is another one."""
    return _FILES if _ABSENT in problem.message else missing_variable(problem.message)


def _absent(path: Path) -> str:
    raise ValueError(_ELSEWHERE)


def _without_code(configuration: Configuration) -> Configuration:
    """The same without what would have to be imported."""
    routes = tuple(route for route in configuration.routes.routes if not _is_code(route))
    models: ModelsFile | None = configuration.models
    return replace(
        configuration,
        routes=configuration.routes.model_copy(update={"routes": routes}),
        middleware=configuration.middleware.model_copy(update={"policies": {}, "order": ()}),
        models=None if models is None else models.model_copy(update={"guardrails": {}}),
    )


def _is_code(route: Any) -> bool:
    return not route.answered_here and route.target.startswith("asgi:")


def _code(configuration: Configuration, files: dict[str, bytes]) -> Iterator[Problem]:
    """Files, variables and modules that each gateway must have itself."""

    def named(file: str, where: tuple[str | int, ...], what: str) -> Problem:
        message = f"{what} is not in a revision; it must be on each gateway, where it is tried before it is served"
        return replace(configuration.problem(file, where, message), severity="warning")

    for name, policy in configuration.middleware.policies.items():
        yield named("middleware.yaml", ("policies", name, "class"), f"the policy {policy.class_}")
    for name, guardrail in configuration.models.guardrails.items() if configuration.models is not None else ():
        yield named("models.yaml", ("guardrails", name, "policy"), f"the guardrail {guardrail.policy}")
    for index, route in enumerate(configuration.routes.routes):
        if _is_code(route):
            yield named("routes.yaml", ("routes", index, "target"), f"the application {route.target}")


def _scalars(configuration: Configuration, text: str) -> Iterator[tuple[str, Scalar]]:
    for file, document in configuration.documents.items():
        nodes: list[Node] = [document.root] if document.root is not None else []
        while nodes:
            node = nodes.pop()
            if isinstance(node, Scalar):
                if node.text == text or f"${{file:{text}}}" in node.text:
                    yield file, node
            else:
                nodes += [entry.node for entry in node.entries.values()] if isinstance(node, Mapping) else node.items


def _not_read(bundle: Bundle, configuration: Configuration) -> Iterator[Problem]:
    code = {
        *policy_files(bundle.files.get("middleware.yaml", b"")),
        *guardrail_files(bundle.files.get("models.yaml", b"")),
    }
    for name in sorted(bundle.files.keys() - {*FILES} - configuration.named - code):
        if not is_route_file(name):
            yield Problem(name, 0, 0, "", "no gateway reads this file, as none of the others names it", "warning")


def _unresolved(configuration: Configuration) -> Iterable[Problem]:
    names = {name: place for name, place in host_names(configuration).items() if name and not name.startswith("unset")}
    for name, reason in HostLookups(names, RESOLVE_SECONDS).unresolved():
        file, place = names[name]
        fault = Fault(place, reason + perhaps_meant(name, ()))
        with contextlib.suppress(KeyError):
            yield to_problem(configuration.documents[file], fault, "warning")

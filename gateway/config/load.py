"""Loads the files of a directory to one Configuration, or reports every error in them."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from itertools import chain
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError

from gateway.config import checks
from gateway.config.files import read_files
from gateway.config.group_names import naming_routes
from gateway.config.model_routes import with_models
from gateway.config.models import FILES, AuthFile, Configuration, MiddlewareFile, Model, RoutesFile, model_of
from gateway.config.models.auth.plain_consumers import PlainConsumers
from gateway.config.models.base import Section
from gateway.config.models.errors import to_fault
from gateway.config.models.routes import RoutesBesideModels
from gateway.config.named_files import named_in
from gateway.config.problems import MOST_FOUND, MOST_PROBLEMS, ConfigError, Fault, Path, Problem, and_more, at_most
from gateway.config.regular_files import read_secret
from gateway.config.route_files import MAIN, RouteFiles, combined, in_order, is_route_file
from gateway.config.secrets import KnownSecrets
from gateway.config.spelling import in_snake_case, without_pairs
from gateway.config.yaml.compose import Folding, compose
from gateway.config.yaml.document import Document
from gateway.config.yaml.expand import Converter, Expander
from gateway.config.yaml.places import to_problem

if TYPE_CHECKING:
    from gateway.config.mending import Kind, LeftOut, Rest
    from gateway.config.models.llm.file import ModelsFile

__all__ = ["ConfigError", "Configuration", "Problem", "Refused", "load", "parse"]


class Refused(ConfigError):
    """With what is left of the configuration without the parts that have errors, for what else may be checked of it."""

    def __init__(self, problems: Sequence[Problem], rest: Configuration, left_out: "LeftOut") -> None:
        super().__init__(problems)
        self.rest = rest
        self._left_out = left_out

    def further(self, problems: Iterable[Problem]) -> list[Problem]:
        """Those found in the rest that are new, and do not follow from what was left out."""
        known = set(self.problems)
        return [each for each in problems if each not in known and not self._left_out.may_cause(each)]


def load(
    directory: FilePath, environment: Mapping[str, str] = os.environ, secrets: KnownSecrets | None = None
) -> Configuration:
    """The configuration in a directory. Raises ConfigError with every error of all its files."""
    return parse(read_files(directory), environment, base=directory, secrets=secrets)


def parse(
    files: Mapping[str, bytes],
    environment: Mapping[str, str],
    *,
    base: FilePath,
    secrets: KnownSecrets | None = None,
    named: set[str] | None = None,
    read: Callable[[FilePath], str] = read_secret,
) -> Configuration:
    """The configuration that these contents, by file name, make up.

    `${...}` is taken from `environment` and from files, relative to `base`, by `read`. What is found to be secret is
    added to `secrets`, and the other files that are named to `named`, also where the configuration is refused. Raises
    ConfigError with every error of all files; what is wrong in a part may hide what else is wrong in it.
    """
    expander = Expander(environment, base, secrets, read)
    routes, whole = _routes(files)
    readings = _readings(files, routes, expander, whole=whole)
    names = expander.named.union(*(reading.named for reading in readings.values()))
    if named is not None:
        named |= names
    problems = [problem for reading in readings.values() for problem in reading.problems]
    make = partial(_configuration, files, routes, readings, expander, names, base)
    if not problems:
        made = make()
        if isinstance(made, Problem):
            raise ConfigError([made])
        if not any(fault for check in checks.ERRORS for fault in check.find(made)):
            return made
    raise _refused(readings, make, problems)


def _refused(
    readings: Mapping[str, "_Reading"], make: Callable[[], Configuration | Problem], problems: list[Problem]
) -> ConfigError:
    """With these problems, and what is wrong with the parts that have none of them, alone and together. `make` puts
    together what the readings are then."""
    from gateway.config.mending import ROUNDS, LeftOut  # noqa: PLC0415  not for files that are right

    left_out = LeftOut()
    if problems and not all(reading.leave_out(left_out) for reading in readings.values()):
        return ConfigError(problems)
    applied = [check for check in checks.ERRORS if not (problems and check.of_what_is_not_there)]
    for _ in range(ROUNDS):
        made = make()
        if isinstance(made, Problem):
            return ConfigError(problems or [made])
        found: list[tuple[str, Fault]] = []
        new, more = at_most(_found(applied, made, found))
        if not found:
            return Refused(problems, made, left_out)
        known = set(problems)
        problems += [each for each in new if each not in known and not left_out.may_cause(each)]
        if more:
            problems.append(and_more(new[-1].file))
            break
        wrong = {name: [fault.path for file, fault in found if file == name] for name in readings}
        if not all(readings[name].leave_out(left_out, paths) for name, paths in wrong.items() if paths):
            break
    return ConfigError(problems)


def _found(applied: Iterable[checks.Check], made: Configuration, found: list[tuple[str, Fault]]) -> Iterator[Problem]:
    """What checks find, one after the other; also into `found`, as the file and the fault."""
    for check in applied:
        for fault in check.find(made):
            found.append((check.file, fault))
            yield to_problem(made.documents[check.file], fault)


def _configuration(
    files: Mapping[str, bytes],
    routes: RouteFiles,
    readings: Mapping[str, "_Reading"],
    expander: Expander,
    names: set[str],
    base: FilePath,
) -> Configuration | Problem:
    """What the readings make up together."""
    models = cast("ModelsFile | None", readings["models.yaml"].model if "models.yaml" in readings else None)
    for secret in models.secrets if models is not None else ():
        expander.secrets.add(secret.get_secret_value())
    middleware = cast(MiddlewareFile, readings["middleware.yaml"].model)
    table = with_models(cast(RoutesFile, readings["routes.yaml"].model), models, middleware.timeouts)
    if not table.routes:
        message = "there is no route, and models.yaml has neither providers nor mcp, which have their own; write one"
        blamed = MAIN if files.get(MAIN, b"") or models is None else "models.yaml"
        return Problem(blamed, 0, 0, "", message)
    groups = {name: tuple(table.routes[number].id for number in numbers) for name, numbers in routes.groups}
    return Configuration(
        routes=table,
        middleware=naming_routes(middleware, groups),
        auth=cast(AuthFile, readings["auth.yaml"].model),
        digest=_digest(files),
        base=base,
        documents={name: reading.document for name, reading in readings.items()},
        sources={name: content for name, content in files.items() if name not in FILES and not is_route_file(name)},
        named=frozenset(names),
        route_files=frozenset(name for name in files if is_route_file(name)),
        groups=groups,
        models=models,
    )


def _readings(
    files: Mapping[str, bytes], routes: RouteFiles, expander: Expander, *, whole: bool
) -> dict[str, "_Reading"]:
    """Each file by itself, by name, against its model; models.yaml only where something is in it. `whole`: all route
    files could be read to their end."""
    spelled, spelling = _models_document(files)
    kind = RoutesFile if spelled is None else RoutesBesideModels
    readings = {"routes.yaml": _Reading(routes.document, routes.problems, expander, whole=whole, model=kind)}
    for name in ("middleware.yaml", "auth.yaml"):
        folding = Folding("consumers", PlainConsumers().fold) if name == "auth.yaml" else None
        document, problems = compose(name, files.get(name, b""), folding)
        readings[name] = _Reading(document or Document(name, None), problems, expander, whole=document is not None)
    if spelled is not None:
        readings[spelled.file] = _Reading(spelled, spelling, expander, whole=spelled.root is not None)
    elif "models.yaml" in files and not any(files.get(name) for name in in_order(files)):
        message = "the file is empty, and there is no routes.yaml; name a provider here, or write a route there"
        readings["routes.yaml"].problems = [Problem("models.yaml", 0, 0, "", message)]
    return readings


def _models_document(files: Mapping[str, bytes]) -> tuple[Document | None, list[Problem]]:
    """models.yaml with its keys as the models know them. None: there is nothing in it; without a root: it could not be
    read to its end."""
    document, problems = compose("models.yaml", without_pairs(files.get("models.yaml", b"")))
    if document is None:
        return Document("models.yaml", None), problems
    if document.root is None and not problems:
        return None, []
    spelled, twice = in_snake_case(document)
    return spelled, [*problems, *twice]


def _digest(files: Mapping[str, bytes]) -> str:
    digest = sha256()
    always = [name for name in FILES if name in files or name != "models.yaml"]
    for name in (*always, *sorted(files.keys() - {*FILES})):
        content = files.get(name, b"")
        digest.update(b"%d:" % len(content) + content)
    return digest.hexdigest()[:12]


def _routes(files: Mapping[str, bytes]) -> tuple[RouteFiles, bool]:
    """The route files as one, and whether all of them could be read to their end: what names a service of a file that
    could not is not to be blamed for it."""
    composed = [compose(name, files.get(name, b"")) for name in in_order(files)]
    problems = [problem for _, found in composed for problem in found]
    documents = [document for document, _ in composed if document is not None]
    if len(documents) < len(composed):
        return RouteFiles(Document(MAIN, None), problems), False
    routes = combined(documents)
    routes.problems[:0] = problems
    return routes, True


class _Reading:
    """One document on its way: either its model or its problems, in the order of its lines. `whole`: it could be read
    to its end; one that could not has nothing to be checked."""

    def __init__(
        self,
        document: Document,
        problems: list[Problem],
        expander: Expander,
        *,
        whole: bool = True,
        model: type[Model] | None = None,
    ) -> None:
        self.model: Model | None = None
        self._kind = model or model_of(document.file)
        self.named: set[str] = set()
        self.document = document
        self.problems = problems
        self._value: Any = None
        self._wrong: list[tuple[Path, Kind]] = []
        self._rest: Rest | None = None
        self._more = False
        if not whole:
            return
        if self._kind is RoutesFile and document.root is None:
            message = "the file is empty; it needs at least one route, with a path and a target"
            self.problems = [Problem(document.file, 0, 0, "", message)]
            return
        converter = Converter(expander)
        self._value = converter.convert(document.root)
        self.named.update(named_in(document.file, self._value))
        # Of these, more are kept: where variables need not be set, they must not hide what is wrong otherwise.
        found, self._more = at_most(chain(problems, self._problems(converter.faults)), MOST_FOUND)
        most = MOST_FOUND
        if not converter.stopped:
            others, self._more = at_most(self._problems(self._faults({fault.path for fault in converter.faults})))
            found, most = list(dict.fromkeys([*found, *others])), MOST_PROBLEMS
        self.problems = sorted(found, key=self._order)
        if self._more:
            self.problems.append(and_more(document.file, most))

    def leave_out(self, left_out: "LeftOut", paths: Sequence[Path] = ()) -> bool:
        """Have a model without what is wrong, and without what is at `paths`. False: there is none."""
        from gateway.config.mending import Rest  # noqa: PLC0415  not for files that are right

        if self._rest is None and not self.problems and not paths:
            return True
        if self._rest is None:
            if self._more or len(self._wrong) < len(self.problems):  # not all of which are about a value
                return False
            self._rest = Rest(self._kind, self.document, self._value, left_out)
        self.model = (
            self._rest.model if self._rest.without((*self._wrong, *((path, "reference") for path in paths))) else None
        )
        self._wrong = []
        return self.model is not None

    def _order(self, problem: Problem) -> tuple[bool, str, int, int]:
        return problem.file != self.document.file, problem.file, problem.line, problem.column

    def _problems(self, faults: Iterable[Fault]) -> Iterator[Problem]:
        for fault in faults:
            self._wrong.append((fault.path, "key" if fault.message.startswith("unknown key") else "value"))
            yield to_problem(self.document, fault)

    def _faults(self, broken: Collection[Path]) -> Iterator[Fault]:
        for fault in self._validate(self.document, self._value, broken):
            # What could not be expanded is reported already; an error about its stand-in would say nothing new.
            if self.document.find(fault.path).path not in broken:
                yield fault

    def _validate(self, document: Document, value: Any, broken: Collection[Path]) -> Iterator[Fault]:
        if self._kind is RoutesBesideModels and value is None:
            value = {}
        try:
            nothing = value is None and issubclass(self._kind, Section)
            self.model = self._kind.unset() if nothing else self._kind.model_validate(value)
        except ValidationError as error:
            above = {path[:-1] for path in broken}
            for details in error.errors(include_url=False):
                if details["type"] != "refused" or details["loc"] not in above:  # which looks at a stand-in below
                    yield to_fault(document.file, details)
        if (check := checks.AS_READ.get(document.file)) is not None:
            yield from check(value, document)

"""From the class and `config:` of a policy or a guardrail to one that is ready, or to what is wrong, with its line.

A file is executed as a module of its own, once for each of its contents: while neither the file nor the configuration
of a policy changes, a reload keeps the same object, with all that it has counted. A new version stands beside the old
one until the whole configuration is right.
"""

from __future__ import annotations

import importlib
import json
import traceback
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.models import Configuration
from gateway.config.models.base import keys_of
from gateway.config.models.python_policies import PythonPolicy, split_class
from gateway.config.problems import ConfigError, Fault, Problem, suggest
from gateway.config.yaml.places import to_problem
from gateway.context import Context, Middleware
from gateway.custom_code import is_failure, named
from gateway.http import Exchange, Response
from gateway.middleware.policy_files import policy_file
from gateway.middleware.policy_shapes import (
    Wrong,
    line_of,
    wrong_awaited,
    wrong_called,
    wrong_constructor,
    wrong_handler,
)

_FILE = "middleware.yaml"


class PolicyError(ConfigError):
    """A policy that cannot be used, and every reason."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems)


class LivingPolicy:
    """A policy's object. Where it has coroutine functions `start` and `stop`, they are called at its two ends."""

    def __init__(self, loading: Loading, policy: Any) -> None:
        self._loading = loading
        self.policy = policy

    async def start(self) -> None:
        """Raises PolicyError with whatever the policy raises, so that the configuration is refused."""
        try:
            await self._call("start")
        except BaseException as error:
            if not is_failure(error):
                raise
            raise self._loading.failure(error, f"start of {self._loading.name} failed") from None

    async def stop(self) -> None:
        await self._call("stop")

    async def _call(self, method: str) -> None:
        call = getattr(self.policy, method, None)
        if call is not None:
            await call()


@dataclass(frozen=True, slots=True)
class Written:
    """Where a custom class is named, and its settings."""

    name: str
    class_: str
    config: Mapping[str, Any]
    file: str = _FILE
    section: str = "policies"
    key: str = "class"  # of the entry, that has the class
    kind: str = "policy"


@dataclass(frozen=True, slots=True)
class Loading:
    """One policy on its way. Every method raises PolicyError."""

    written: Written
    context: Context

    @property
    def name(self) -> str:
        return self.written.name

    def policy(self) -> Any:
        """The object: the one that lives already, where nothing changed that it depends on."""
        found = self._class()
        key = key_of(self.written, self.context.configuration)
        place = (self.written.file, (self.written.section, self.name, self.written.key))
        return self.context.plan.need(key, lambda: LivingPolicy(self, self._make(found)), place).policy

    def check_class(self, found: type[Any]) -> None:
        """See that it is one of this kind."""
        if not callable(getattr(found, "wrap", None)):
            raise self.fault(f"{found.__name__} has no wrap(self, handler); see docs/writing-middleware.md")

    def try_out(self, policy: Any) -> None:
        """See that the object can be used. What it raises is its failure."""
        self.refuse(wrong_called(policy, "wrap", "handler"))
        self.refuse(wrong_handler(policy, policy.wrap(_nowhere)))
        self.refuse(wrong_awaited(policy, "explain", "exchange"))

    def _make(self, found: type[Any]) -> Any:
        model = getattr(found, "Config", None)
        arguments = [] if model is None else [self._settings(model)]
        if model is None and self.written.config:
            raise self._fault(("config",), f"{found.__name__} takes no config; remove it, or give the class a Config")
        self.refuse(wrong_constructor(found, has_config=model is not None))
        try:
            policy = found(*arguments)
            for method in ("start", "stop"):
                self.refuse(wrong_awaited(policy, method))
            self.try_out(policy)
        except PolicyError:
            raise
        except BaseException as error:
            raise self.failure(error, f"{found.__name__} cannot be made") from None
        return policy

    def _class(self) -> type[Any]:
        file, module, name = split_class(self.written.class_)
        found = getattr(self._module_of_file(file) if file else self._module(module), name, None)
        if not isinstance(found, type):
            raise self.fault(f"there is no class {name} in {file or module}; correct the name")
        self.check_class(found)
        return found

    def _module(self, name: str) -> ModuleType:
        try:
            return importlib.import_module(name)
        except BaseException as error:
            raise self.failure(error, f"{name} cannot be imported") from None

    def _module_of_file(self, file: str) -> ModuleType:
        path = self.context.base / file
        source = self.context.configuration.sources.get(file)
        if source is None:
            message = f"{file} cannot be read in {self.context.base}; create it (its name cannot hold ${{...}})"
            raise self.fault(message)
        try:
            return self.context.plan.need(
                ("policy file", str(path), source),
                lambda: policy_file(path, source, self.context.plan),
                (self.written.file, (self.written.section, self.name, self.written.key)),
            ).module
        except BaseException as error:
            raise self.failure(error, "it cannot be loaded") from None

    def _settings(self, model: Any) -> BaseModel:
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise self.fault("Config of the class must be a pydantic model: class Config(BaseModel)")
        values = self.written.config
        faults = list(self._unknown(model, values))
        try:
            made = model.model_validate(values)
        except ValidationError as error:
            faults += [self._refused(details) for details in error.errors(include_url=False, include_input=False)]
        if faults:
            raise PolicyError(*faults)
        return made

    def _unknown(self, model: type[BaseModel], values: Mapping[str, Any]) -> Iterator[Problem]:
        """A misspelt key must not go unnoticed, even where the model does not say so itself."""
        if model.model_config.get("extra") is not None:
            return
        known = list(keys_of(model))
        for key in values.keys() - {*known, *model.model_fields}:
            likely = suggest(key, known)
            remedy = f'did you mean "{likely}"?' if likely else f"remove it. Known here: {', '.join(known)}"
            yield self._problem(("config", key), f"unknown key{',' if likely else ';'} {remedy}")

    def _refused(self, error: ErrorDetails) -> Problem:
        """The message of pydantic, or of the policy's author, about one value. It may repeat the value."""
        place = ("config", *error["loc"])
        if error["type"] == "missing":
            return self._problem(place[:-1], f'the key "{place[-1]}" is missing; add it')
        text = error["msg"].removeprefix("Value error, ")
        return self._problem(place, f"{self.name} does not take this", f": {text}")

    def _problem(self, place: tuple[str | int, ...], message: str, hint: str = "") -> Problem:
        fault = Fault((self.written.section, self.name, *place), message, hint, show_value=False)
        return to_problem(self.context.configuration.documents[self.written.file], fault)

    def fault(self, message: str) -> PolicyError:
        """The error of the class."""
        return self._fault((self.written.key,), message)

    def refuse(self, wrong: Wrong | None) -> None:
        """Say what is wrong with a function, at its line where it is of the policy's file."""
        if wrong is None:
            return
        file, _, _ = split_class(self.written.class_)
        line = line_of(wrong.function, str(self.context.base / file)) if file else None
        if line is None:
            raise self.fault(wrong.message)
        raise PolicyError(Problem(file, line, 1, f"{self.written.kind} {self.name}", wrong.message))

    def _fault(self, place: tuple[str | int, ...], message: str) -> PolicyError:
        return PolicyError(self._problem(place, message))

    def failure(self, error: BaseException, what: str) -> PolicyError:
        """The exception of the policy's own code, at the line of its file if there is one."""
        file, _, _ = split_class(self.written.class_)
        reason = named(error)
        place = _line(error, str(self.context.base / file)) if file else None
        if place is None:
            return self.fault(f"{what}: {reason}")
        return PolicyError(Problem(file, *place, f"{self.written.kind} {self.name}", f"{what}: {reason}"))


def key_of(written: Written, configuration: Configuration) -> Hashable:
    """The identity of a policy: its code, and its settings."""
    file, _, _ = split_class(written.class_)
    settings = json.dumps(written.config, sort_keys=True, default=str)
    return written.section, written.name, written.class_, configuration.sources.get(file, b""), settings


def policy_key(name: str, config: PythonPolicy, configuration: Configuration) -> Hashable:
    """The same of a policy of middleware.yaml."""
    return key_of(Written(name, config.class_, config.config), configuration)


def load(name: str, config: PythonPolicy, context: Context) -> Middleware:
    """The policy of this name. Raises PolicyError."""
    policy: Middleware = Loading(Written(name, config.class_, config.config), context).policy()
    return policy


def _line(error: BaseException, path: str) -> tuple[int, int] | None:
    """Line and column of a file that an error leads to; the deepest, where it was passed several times."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return error.lineno or 1, error.offset or 1
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return (frames[-1].lineno or 1, (frames[-1].colno or 0) + 1) if frames else None


async def _nowhere(exchange: Exchange) -> Response:
    """Stands for the handler while a policy is tried."""
    return Response(204, [])

"""Custom code runs first in a process of its own: policies and guardrails whose source or configuration is new, and
applications that are not loaded yet.

What may come of it is no harm there: an exit, an endless loop, a crash, all memory used. The process is spawned, not
forked, so that it has neither the memory nor the descriptors of this one; it gets what middleware.yaml says of the
policies that are tried, and the environment, as they would here. It imports, makes, wraps and starts them, and says
what is wrong, or how far it came.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import json
import os
import pickle
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from gateway.config.models import AuthFile, Configuration, MiddlewareFile, RoutesFile
from gateway.config.models.python_policies import split_class
from gateway.config.problems import ConfigError, Problem, format_path
from gateway.config.problems import Path as Way
from gateway.config.values.addresses import AsgiTarget, parse_target
from gateway.context import Context
from gateway.custom_code import named, text_of
from gateway.live import Owner

if TYPE_CHECKING:  # what loads custom code is imported for those who have some
    from gateway.config.models.llm.file import ModelsFile
    from gateway.config.models.llm.guardrails import Guardrail
    from gateway.config.models.python_policies import PythonPolicy
    from gateway.middleware.policy_loading import Written

START_SECONDS = 10.0  # for the interpreter and the gateway's own modules, on a busy machine
STOP_SECONDS = 1.0
_ENTRY = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from gateway.trial import main; main()"
_FILES = ("middleware.yaml", "models.yaml")
_FRAME: Final = r'^  File "(.*)", line (\d+) in '


@dataclass(frozen=True, slots=True)
class _Application:
    """An `asgi:` application that is to be tried."""

    module: str
    attribute: str
    target: str
    place: Problem

    def problem(self, message: str) -> Problem:
        return replace(self.place, message=f"{self.target} {message}")


@dataclass(frozen=True, slots=True)
class _Trial:
    """The input of the process."""

    configuration: Configuration  # only what middleware.yaml says of the policies
    applications: Sequence[_Application]
    seconds: float
    memory: int  # bytes


def try_out(configuration: Configuration, living: Mapping[Any, Any]) -> None:
    """Run what is new and not this gateway's own, elsewhere. Blocks; needs no process where nothing is new.

    `living` are the identities of what runs here already. Raises ConfigError.
    """
    policies = _policies(configuration, living) if configuration.middleware.policies else {}
    applications = list(_applications(configuration, living))
    guardrails = _guardrails(configuration, living)
    if not policies and not applications and not guardrails:
        return
    settings = configuration.middleware.reload
    tried = replace(
        configuration,
        routes=RoutesFile.model_construct(routes=()),
        middleware=MiddlewareFile(policies=policies),
        auth=AuthFile(),
        models=_with_guardrails(guardrails) if guardrails else None,
        documents={name: configuration.documents[name] for name in _FILES if name in configuration.documents},
    )
    trial = _Trial(tried, applications, settings.policy_timeout, settings.policy_memory)
    problems = _run(trial)
    if problems:
        raise ConfigError(problems)


def _policies(configuration: Configuration, living: Mapping[Any, Any]) -> dict[str, PythonPolicy]:
    from gateway.middleware.policy_loading import policy_key  # noqa: PLC0415

    policies = configuration.middleware.policies
    return {name: each for name, each in policies.items() if policy_key(name, each, configuration) not in living}


def _guardrails(configuration: Configuration, living: Mapping[Any, Any]) -> dict[str, Guardrail]:
    if configuration.models is None or not configuration.models.guardrails:
        return {}
    from gateway.middleware.guardrail_settings import guardrail_key  # noqa: PLC0415

    guardrails = configuration.models.guardrails
    return {name: each for name, each in guardrails.items() if guardrail_key(name, each, configuration) not in living}


def _with_guardrails(guardrails: dict[str, Guardrail]) -> ModelsFile:
    """models.yaml with nothing else."""
    from gateway.config.models.llm.file import ModelsFile  # noqa: PLC0415  whoever has guardrails has imported it

    return ModelsFile(guardrails=guardrails)


def _applications(configuration: Configuration, living: Mapping[Any, Any]) -> Iterator[_Application]:
    seen = set()
    for index, route in enumerate(configuration.routes.routes):
        if route.answered_here or not route.target.startswith("asgi:"):
            continue
        target = parse_target(route.target)
        if isinstance(target, AsgiTarget) and route.target not in seen and target not in living:
            seen.add(route.target)
            place = configuration.problem("routes.yaml", ("routes", index, "target"), "")
            yield _Application(target.module, target.attribute, route.target, place)


# In the gateway.


def _run(trial: _Trial) -> list[Problem]:
    process = subprocess.Popen(
        [sys.executable, "-c", _ENTRY, json.dumps(sys.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(pickle.dumps(trial), trial.seconds + START_SECONDS)
        late = False
    except subprocess.TimeoutExpired as expired:
        said, late = expired.stdout or b"", True
    finally:
        with contextlib.suppress(ProcessLookupError):  # whatever it has started itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
    return _judged(trial, said.decode("utf-8", "replace"), process.returncode, late=late)


def _judged(trial: _Trial, said: str, code: int, *, late: bool) -> list[Problem]:
    """The error, by the output of the process and its exit."""
    step: list[Any] | None = None
    for line in said.splitlines():
        if line.startswith('{"step"'):
            step = json.loads(line)["step"]
        elif line.startswith('{"problems"'):
            return [_with_limit(Problem(**problem), trial.memory) for problem in json.loads(line)["problems"]]
    if late or "Timeout (" in said:
        reason = f"does not end within {trial.seconds:g} s (reload.policy_timeout)"
    elif code < 0:
        reason = f"ends the process by {signal.Signals(-code).name}"
    else:
        reason = f"ends the process with exit code {code}"
    return [_ended(trial, step, reason, said)]


def _with_limit(problem: Problem, memory: int) -> Problem:
    """Where it has run out of memory, with the limit that it had."""
    if not problem.message.endswith("MemoryError"):
        return problem
    limit = f"it may take {memory / 1024**2:g} MiB (reload.policy_memory)"
    return replace(problem, message=f"{problem.message}; {limit}")


def _ended(trial: _Trial, step: list[Any] | None, reason: str, said: str) -> Problem:
    """Where it was when it ended: the line that it was at, where that is known, or the policy."""
    if step is None:
        message = f"the process in which policies are tried {reason} before it began; try again"
        return Problem("middleware.yaml", 0, 0, "policies", message)
    kind, name, what = step
    if kind == "application":
        return trial.applications[int(name)].problem(f"cannot be used: its import {reason}")
    message = f"{what} {reason}; correct it"
    written = next(each for each in _written(trial.configuration) if (each.kind, each.name) == (kind, name))
    file, _, _ = split_class(written.class_)
    for path, line in re.findall(_FRAME, said, re.MULTILINE):
        if file and path == str(trial.configuration.base / file):
            return Problem(file, int(line), 1, f"{kind} {name}", message)
    where: Way = (written.section, name, written.key)
    return Problem(written.file, *trial.configuration.locate(written.file, where), format_path(where), message)


def _written(configuration: Configuration) -> Iterator[Written]:
    """All that is tried, beside applications."""
    from gateway.middleware.guardrail_settings import written_of  # noqa: PLC0415
    from gateway.middleware.policy_loading import Written  # noqa: PLC0415

    for name, config in configuration.middleware.policies.items():
        yield Written(name, config.class_, config.config)
    for name, guardrail in configuration.models.guardrails.items() if configuration.models is not None else ():
        yield written_of(name, guardrail)


# In the process of its own.


def main() -> None:
    """Try what is on the standard input, and say what comes of it on what was the standard output."""
    trial: _Trial = pickle.load(sys.stdin.buffer)
    # Before the time and the memory of what is tried count.
    import gateway.middleware.policy_loading  # noqa: PLC0415
    import gateway.upstream.asgi.application  # noqa: F401, PLC0415

    if trial.configuration.models is not None:
        from gateway.middleware import guardrail_loading  # noqa: F401, PLC0415  for those who have a models.yaml
    with os.fdopen(os.dup(1), "wb", buffering=0) as report:
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)
        # Let it fail before anything else of the machine does.
        memory = trial.memory
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        least = memory if most == resource.RLIM_INFINITY else min(memory, most)
        resource.setrlimit(resource.RLIMIT_DATA, (least, most))
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
        faulthandler.enable(report)
        faulthandler.dump_traceback_later(trial.seconds, exit=True, file=report)
        asyncio.run(_tried(trial, report))
        os._exit(0)


def _say(report: BinaryIO, what: Mapping[str, Any]) -> None:
    report.write(json.dumps(what).encode() + b"\n")


async def _tried(trial: _Trial, report: BinaryIO) -> None:
    from gateway.upstream.asgi.application import import_application  # noqa: PLC0415

    problems: list[Problem] = []
    for number, application in enumerate(trial.applications):
        _say(report, {"step": ["application", number, "its import"]})
        try:
            import_application(application.module, application.attribute)
        except BaseException as error:
            usual = isinstance(error, (OSError, ImportError, AttributeError, TypeError))
            problems.append(application.problem(f"cannot be used: {(text_of(error) if usual else named(error))}"))
    owner = Owner(start_seconds=2 * trial.seconds)
    for written in _written(trial.configuration):
        plan = owner.plan()
        try:
            _say(report, {"step": [written.kind, written.name, "loading it"]})
            _load(written, Context(trial.configuration, plan))
            _say(report, {"step": [written.kind, written.name, "its start"]})
            await owner.adopt(plan, trial.configuration.problem)
        except ConfigError as error:
            problems += error.problems
    _say(report, {"problems": [asdict(problem) for problem in dict.fromkeys(problems)]})
    signal.setitimer(signal.ITIMER_REAL, STOP_SECONDS)  # what was started gets this long to stop
    await owner.stop()


def _load(written: Written, context: Context) -> None:
    configuration, name = context.configuration, written.name
    if written.kind == "policy":
        from gateway.middleware.policy_loading import load  # noqa: PLC0415

        load(name, configuration.middleware.policies[name], context)
    elif configuration.models is not None:
        from gateway.middleware import guardrail_loading  # noqa: PLC0415  see `main`

        guardrail_loading.load(name, configuration.models.guardrails[name], context)

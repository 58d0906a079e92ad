"""Gateways for tests, forked from a process that has imported all of one: importing is most of what a start costs.

What runs in the fork is the command itself, `gateway serve`, with arguments, environment and files of its own.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

_ENVIRONMENT = ("PYTHONPATH", "PYTHONSAFEPATH", "PYTHONHASHSEED", "PYTHONDEVMODE", "PYTHONMALLOC")
"""What an interpreter reads when it starts: where that differs, a fork is no replacement for a process of its own."""


_ROOT = Path(__file__).resolve().parent.parent

_LITTLE = {"routes.yaml": b"[{path: /, redirect: /a}]", "auth.yaml": b"{}", "middleware.yaml": b"{}"}


class Forked:
    """A process like one of `subprocess.Popen`, as far as tests of the gateway use one."""

    def __init__(self, parent: _Parent, pid: int) -> None:
        self._parent = parent
        self.pid = pid
        self.returncode: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        with self._lock:  # whom one thread has waited for, another cannot
            if self.returncode is None:
                self.returncode = self._parent.ask({"poll": self.pid})
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended. Raises subprocess.TimeoutExpired."""
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("gateway", timeout or 0)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it the hard way."""
        self.send_signal(signal.SIGKILL)


class _Parent:
    """The process that forks; it ends with the tests, when its input does.

    The test that needs it first may have changed its directory: that is not where the modules are.
    """

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.forking"]
        self.environment = _startup(os.environ)
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_ROOT)
        self._lock = threading.Lock()

    def ask(self, question: Mapping[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())


_parents: list[_Parent] = []


def fork(arguments: Sequence[str], environment: Mapping[str, str], out: Path, err: Path) -> Forked | None:
    """A gateway with these arguments; None where it must be started on its own."""
    if not _parents:
        _parents.append(_Parent())
    parent = _parents[0]
    if _startup(environment) != parent.environment:
        return None
    question = {"arguments": list(arguments), "environment": dict(environment), "cwd": str(Path.cwd())}
    return Forked(parent, parent.ask(question | {"out": str(out), "err": str(err)}))


def _startup(environment: Mapping[str, str]) -> list[str | None]:
    return [environment.get(name) for name in _ENVIRONMENT]


# In the process that forks.


def main() -> None:
    """Answer questions, a line each, until there are no more."""
    import bcrypt  # noqa: F401, PLC0415
    import uvloop  # noqa: F401, PLC0415

    import gateway.admin.app  # noqa: PLC0415
    import gateway.auth.jwt  # noqa: PLC0415
    import gateway.check  # noqa: PLC0415
    import gateway.cli.serving  # noqa: PLC0415
    import gateway.explain  # noqa: PLC0415
    import gateway.importing  # noqa: PLC0415
    import gateway.model_targets  # noqa: PLC0415
    import gateway.server.run  # noqa: F401, PLC0415
    from gateway import cli  # noqa: PLC0415
    from gateway.config.load import parse  # noqa: PLC0415

    for module, _ in cli.COMMANDS.values():
        import_module(module)
    parse(_LITTLE, {}, base=_ROOT)  # which has pydantic build what validates files
    gc.collect()
    gc.freeze()  # forks look through none of it again

    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        for line in sys.stdin:
            question = json.loads(line)
            if "poll" in question:
                pid, status = os.waitpid(question["poll"], os.WNOHANG)
                answer = os.waitstatus_to_exitcode(status) if pid else None
            else:
                answer = os.fork()
                if answer == 0:
                    _become(cli, question)
            answers.write(f"{json.dumps(answer)}\n")
            answers.flush()


def _become(cli: Any, question: Mapping[str, Any]) -> NoReturn:
    try:
        os.environ.clear()
        os.environ.update(question["environment"])
        os.chdir(question["cwd"])
        files = os.open(os.devnull, os.O_RDONLY), *(os.open(question[name], os.O_WRONLY) for name in ("out", "err"))
        for number, file in enumerate(files):
            os.dup2(file, number)
        os.closerange(3, 256)
        sys.argv = ["gateway", *question["arguments"]]
        cli.run()
    finally:
        os._exit(70)


if __name__ == "__main__":
    main()

"""Cores, CPU time and ports, as Linux has them."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")  # of CPU time, in one second


@dataclass(frozen=True, slots=True)
class Cores:
    """Where the proxy under test runs, and where everything else does."""

    proxy: frozenset[int]
    others: frozenset[int]

    @property
    def shared(self) -> bool:
        """Whether there is only one core for all of them."""
        return self.proxy == self.others


def divide_cores() -> Cores:
    """The last core of those that this process may use is for the proxy."""
    *others, last = sorted(os.sched_getaffinity(0))
    return Cores(frozenset({last}), frozenset(others or [last]))


def prefer(pid: int, priority: int) -> None:
    """Let a process, and what it starts, run before the rest of the machine, where we may: what waits is not measured.

    Processes of a higher priority run before those of a lower one.
    """
    with contextlib.suppress(OSError):
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(priority))


def relax(pid: int) -> None:
    """Give a process and its children normal priority again, before any of them exits.

    Linux reaps exited processes in a loop, for as long as their files in /proc are being read. If the reader
    waits for the core, and the parent runs on it in real time, that loop does not end.
    """
    with contextlib.suppress(OSError):  # it has ended already, or it never was preferred
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setscheduler(int(thread), os.SCHED_OTHER, os.sched_param(0))
        for child in children(pid):
            relax(child)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far: all its threads, and all processes below it, ended or not.

    To the nanosecond, but for children that ended, of which Linux keeps ticks.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ended = sum(map(int, fields[13:15])) / TICKS
    own = time.clock_gettime(~pid << 3 | 2)  # the clock that clock_getcpuclockid(3) gives
    return own + ended + sum(cpu_seconds(child) for child in children(pid))


def resident(pid: int) -> int:
    """Bytes of memory that a process and those below it have in use; what they share counts for each."""
    status = Path(f"/proc/{pid}/status").read_text()
    own = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))
    return own + sum(resident(child) for child in children(pid))


def children(pid: int) -> list[int]:
    """The processes that a process started and that still run."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended meanwhile
            found += map(int, (task / "children").read_text().split())
    return found


def free_port() -> int:
    """A free port of the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])

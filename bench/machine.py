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


def prefer(pid: int, nice: int) -> None:
    """Let a group of processes run before the rest of the machine, where we may: what waits is not measured.

    `nice` is from -20, which is first, to 19. Not in real time: of that, Linux takes a twentieth of each second from
    whoever has work for all of it, in one piece, which is then what is measured. Where Linux first shares cores among
    sessions, it is for all of the session.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PGRP, os.getpgid(pid), nice)
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))


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

"""Metrics of the process, by the names that Prometheus's clients have for them, of the build, and of the configuration.

What the system does not report (`/proc` is of Linux) is not there.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Final

from gateway.families import Family, Merge, Sample, counter, gauge
from gateway.http import messages
from gateway.reload import Reloader

_PROC: Final = Path("/proc")
_SELF: Final = _PROC / "self"
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def process_metrics() -> Iterator[Family]:
    """The current values. Those that need `/proc` are left out without it."""
    used = time.process_time()
    yield counter("process_cpu_seconds_total", "User and system CPU time that the process used.", {(): used})
    try:
        fields = (_SELF / "stat").read_text().rpartition(")")[2].split()
        begun, threads, virtual, resident = int(fields[19]), int(fields[17]), int(fields[20]), int(fields[21])
        # Newer systems know the number; listing ten thousand of them takes milliseconds.
        descriptors = (_SELF / "fd").stat().st_size or len(os.listdir(_SELF / "fd"))
    except OSError:
        return
    yield _gauge("process_resident_memory_bytes", "Memory of the process.", resident * resource.getpagesize())
    yield _gauge("process_virtual_memory_bytes", "Memory that the process has reserved.", virtual)
    yield _gauge("process_threads", "Threads of the process.", threads)
    yield _gauge("process_start_time_seconds", "When the process began.", _booted() + begun / _TICKS, "min")
    yield _gauge("process_open_fds", "Files and connections that the process has open.", descriptors, "max")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield _gauge("process_max_fds", "Files and connections that it may have open.", most, "min")


def _gauge(name: str, help: str, value: float, merge: Merge = "sum") -> Family:
    return gauge(name, help, {(): value}, merge=merge)


@cache
def _booted() -> float:
    """Unix time at which the system began."""
    lines = (_PROC / "stat").read_text().splitlines()
    return next((float(line.split()[1]) for line in lines if line.startswith("btime ")), 0.0)


def build_metrics() -> Iterator[Family]:
    """The running version."""
    made = "interpreted" if (messages.__file__ or "").endswith(".py") else "compiled"  # see setup.py
    value = (version("flowmaster-gateway"), python_version(), made)
    labels, help = ("version", "python", "made"), "1, by version, Python, and how it was made."
    yield Family("gateway_build_info", "info", help, labels, [Sample(value, 1)], "last")


def config_metrics(reloader: Reloader) -> Iterator[Family]:
    """Which configuration is in force, and what became of those that were read."""
    snapshot = reloader.current
    revisions = [] if snapshot is None else [Sample((snapshot.digest,), 1)]
    help = "1, by the revision of the configuration in force: the digest that GET /config/history has, too."
    yield Family("gateway_config_info", "info", help, ("revision",), revisions, "last")
    results = {("loaded",): reloader.reloads, ("refused",): reloader.refusals}
    help = "Configurations that were taken up after the first, or refused; the log and gateway check say why."
    yield counter("gateway_config_reloads_total", help, results, ("result",))

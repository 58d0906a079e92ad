"""The Python that runs the gateway: one built with profiles, where there is one, since that is what is shipped."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from gateway.cli.interpreter import described


def preferred() -> str:
    """This Python, or the system's of the same version where only that was built with profiles (PGO).

    Both load the same libraries, compiled ones too.
    """
    system = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    if "no PGO" in described() and Path(system).is_file() and "no PGO" not in description(system, Path.cwd()):
        return system
    return sys.executable


def libraries(python: str) -> Sequence[str]:
    """Where a Python finds our libraries that does not find them by itself."""
    return () if python == sys.executable else (sysconfig.get_path("purelib"),)


def description(python: str, *sources: Path) -> str:
    """What `gateway --version` says there. "" where it does not run."""
    paths = ":".join((*map(str, sources), *libraries(python)))
    command = [python, "-P", "-m", "gateway.cli", "--version"]
    environment = {"PYTHONPATH": paths}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=environment)
    return done.stdout.strip()

"""Programs of the machine that a test needs, and where this checkout is."""

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def require(program: str) -> str:
    """The program's path; without it the test is skipped, or failed in CI, where nothing may be missing."""
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is not None:
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(f"{program} is missing; `make servers` says how to install it")
    pytest.skip(f"{program} is not installed; `make servers` says how to install it")

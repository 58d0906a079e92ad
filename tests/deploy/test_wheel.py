"""What `pip install` makes of a checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from zipfile import ZipFile

from .programs import ROOT


def test_what_an_earlier_build_left_is_not_installed(tmp_path: Path) -> None:
    """A wheel has the modules of the sources alone, also where compiled ones of older sources are in `build`."""
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "gateway", checkout / "gateway", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    tag = f"{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
    for directory in ("lib", f"lib.{tag}"):
        left = checkout / "build" / directory / "gateway"
        left.mkdir(parents=True)
        (left / "left_behind.py").touch()
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "."]
    subprocess.run(command, cwd=checkout, check=True, timeout=150)
    (wheel,) = checkout.glob("*.whl")
    names = ZipFile(wheel).namelist()
    assert "gateway/cli/__init__.py" in names
    assert "gateway/left_behind.py" not in names
    assert "gateway/native/_heads.c" not in names

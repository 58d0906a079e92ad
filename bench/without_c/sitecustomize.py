"""Whoever has this directory in PYTHONPATH imports it first, and runs the gateway as where nothing was built in C."""

from __future__ import annotations

import sys
from typing import Any

modules: dict[str, Any] = sys.modules
modules["gateway.native._heads"] = None  # an import of it fails

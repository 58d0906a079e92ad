"""A Python with this directory in its PYTHONPATH imports this first: the gateway then runs without what is in C."""

from __future__ import annotations

import sys
from typing import Any

modules: dict[str, Any] = sys.modules
modules["gateway.native._heads"] = None  # an import of it fails

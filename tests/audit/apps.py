"""An application whose import turns the gateway's own log up to debug, as in debugging."""

from __future__ import annotations

import logging

from tests.lifecycle.apps import one

logging.getLogger().setLevel(logging.DEBUG)
logging.getLogger("tests").debug("debug is on")

__all__ = ["one"]

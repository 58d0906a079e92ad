"""Long work, where it holds no request up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable


def beside(work: Callable[[], None]) -> None:
    """Do it on a thread of its own where an event loop runs in this one; at once where none does."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        work()
        return
    threading.Thread(target=work, name="gateway-beside", daemon=True).start()

"""Names that do not resolve, when a configuration is taken up."""

from __future__ import annotations

import gc
import sys
import threading
from types import FrameType

from gateway.server.name_warnings import NameWarnings
from tests.config.support import parsed


def test_the_names_of_many_routes_hold_no_request_up() -> None:
    """The loop's thread does nothing for each of them."""
    routes = "".join(
        f"- {{path: /r{number}, target: '127.0.{number // 200}.{number % 200}:80'}}\n" for number in range(500)
    )
    configuration, warnings = parsed(f"routes:\n{routes}"), NameWarnings((), lambda _name, _reason: None)
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    gc.collect()
    gc.disable()  # what former tests left behind, and who watches the collector, is not to be counted
    sys.setprofile(count)
    try:
        warnings.look(configuration)
    finally:
        sys.setprofile(None)
        gc.enable()
    for thread in threading.enumerate():
        if thread.name == "names":  # and none of those that it begins, which may be listed before they can be joined
            thread.join()
    assert calls < 500

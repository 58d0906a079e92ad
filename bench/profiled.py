"""The command line of the gateway under cProfile; the statistics are written when it ends.

python -m bench.profiled FILE serve ...
"""

from __future__ import annotations

import cProfile
import sys

from gateway.cli import main


def run(file: str, arguments: list[str]) -> None:
    profile = cProfile.Profile()
    try:
        profile.runcall(main, arguments, standalone_mode=False)
    finally:
        profile.dump_stats(file)


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2:])

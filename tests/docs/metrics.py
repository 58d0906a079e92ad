"""The table of docs/metrics.md, of what the gateway says of its metrics: `python -m tests.docs.metrics`."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from gateway.app import Gateway
from gateway.config.secrets import KnownSecrets
from gateway.deadlines import Deadlines
from gateway.live import Owner
from gateway.monitor.metrics import HELP, plain
from gateway.reload import Reloader
from gateway.roles import ALL
from gateway.server.alerts import Telling
from gateway.server.loop_watch import LoopWatch
from gateway.server.observed import Observed
from gateway.upstream.transport import Connector, Resolver

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
HEADING = "## All of them\n"
ROW = re.compile(r"^\| `(\w+)` \| ([^|]*) \|\n", re.MULTILINE)


async def sentences() -> dict[str, str]:
    """What each metric is, by name; those of things that a configuration may ask for included."""
    observed = Observed(owner := Owner(), [], ALL)
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
    observed.tell(
        Gateway(Reloader(PAGE.parent, {}, owner, connector), []),
        LoopWatch(),
        Telling(KnownSecrets(), ALL, lambda: True),
    )
    told: dict[str, str] = {}
    for family in (*observed.metrics.families(), *plain(dict.fromkeys(HELP, 1.0))):
        if not family.name.startswith("python_"):  # of the library, which a test may have imported
            told.setdefault(family.name, family.help)
    return told


def main() -> None:
    """Write the table."""
    page = PAGE.read_text()
    rows = "".join(f"| `{name}` | {text} |\n" for name, text in asyncio.run(sentences()).items())
    before, heading, table = page.partition(HEADING)  # tables above this one have rows of the same form
    PAGE.write_text(before + heading + ROW.sub("", table) + rows)


if __name__ == "__main__":
    main()

"""Tables of docs/metrics.md: what the gateway says of its metrics, and the rules of deploy/prometheus, of which each is
worth an alert. `python -m tests.docs.metrics` writes them."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import yaml

from gateway.app import Gateway
from gateway.config.secrets import KnownSecrets
from gateway.deadlines import Deadlines
from gateway.families import Family
from gateway.live import Owner
from gateway.managed.gateway import ManagedGateway
from gateway.monitor.metrics import HELP, plain
from gateway.reload import Reloader
from gateway.roles import ALL
from gateway.server.alerts import AlertSending
from gateway.server.loop_watch import LoopWatch
from gateway.server.observed import Observed
from gateway.upstream.transport import Connector, Resolver

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "metrics.md"
RULES = ROOT / "deploy" / "prometheus" / "alerts.yaml"
ROW = re.compile(r"^\| `(\w+)` \| ([^|]*) \|$", re.MULTILINE)
SUFFIX = re.compile(r"_(?:bucket|sum|count)$")
ALL_OF_THEM, ALERTS = "\n## All of them\n", "\n## Worth an alert\n"


def listed() -> dict[str, str]:
    """Sentences that the page has, by the name of the metric."""
    return dict(ROW.findall(PAGE.read_text().partition(ALL_OF_THEM)[2]))


def rules(file: Path = RULES) -> list[dict[str, Any]]:
    """Those of a file for Prometheus, of all its groups."""
    return [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def alerts() -> str:
    """The table of what is worth an alert."""
    rows = (
        f"| `{rule['alert']}` | `{' '.join(rule['expr'].split())}` | {rule['annotations']['action']} |\n"
        for rule in rules()
    )
    return "".join(("| alert | expression | what to do |\n|---|---|---|\n", *rows))


async def families() -> dict[str, Family]:
    """Each metric by its name; those of things that a configuration may ask for included."""
    observed = Observed(owner := Owner(), [], ALL)
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
    reloader = Reloader(PAGE.parent, {}, owner, connector)
    observed.include(
        Gateway(reloader, []),
        LoopWatch(),
        ManagedGateway(reloader, {}, KnownSecrets(), []),
        AlertSending(KnownSecrets(), ALL, lambda: True),
    )
    found: dict[str, Family] = {}
    for family in (*observed.metrics.families(), *plain(dict.fromkeys(HELP, 1.0))):
        if not family.name.startswith("python_"):  # of the library, which a test may have imported
            found.setdefault(family.name, family)
    return found


async def sentences() -> dict[str, str]:
    """What each metric is, by name."""
    return {name: family.help for name, family in (await families()).items()}


def main() -> None:
    """Write the tables."""
    before, _, _ = PAGE.read_text().partition(ALL_OF_THEM)
    rows = "".join(f"| `{name}` | {text} |\n" for name, text in asyncio.run(sentences()).items())
    before, title, after = before.partition(ALERTS)
    introduction, _, _ = after.partition("\n| ")
    PAGE.write_text(f"{before}{title}{introduction}\n{alerts()}{ALL_OF_THEM}\n| name | what it is |\n|---|---|\n{rows}")


if __name__ == "__main__":
    main()

"""What custom policies count, from one version of their file to the next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from gateway.middleware.policy_files import PolicyFile
from tests.resilience.support import running

ROUTES = "routes: [{id: r, path: /*, respond: {status: 200}}]"
POLICY = "policies: {mine: {class: 'p.py:Mine'}}"
SOURCE = """
from prometheus_client import Counter

ASKED = Counter("my_asked", "Version VERSION.", ["path"])

class Mine:
    TOTAL = Counter("my_total", "All.")

    def wrap(self, handler):
        async def counted(exchange):
            ASKED.labels(exchange.path).inc()
            self.TOTAL.inc()
            return await handler(exchange)
        return counted
"""


def counted() -> dict[str, float]:
    return {
        f"{sample.name} {metric.documentation}": sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name.startswith("my_") and sample.name.endswith("_total")
    }


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Whatever a test did, its metrics are gone with its gateway."""
    yield
    assert counted() == {}


async def test_a_new_version_counts_in_the_place_of_the_former(tmp_path: Path) -> None:
    """A file is edited and loaded again like any other: its metrics begin anew, and end when no policy uses them."""
    file = tmp_path / "p.py"
    file.write_text(SOURCE.replace("VERSION", "1"))
    async with running(tmp_path, ROUTES, POLICY) as gateway:
        await gateway.get("/a")
        await gateway.get("/a")
        assert counted() == {"my_asked_total Version 1.": 2, "my_total All.": 2}
        await gateway.reload(middleware=POLICY + " # the same")
        assert counted() == {"my_asked_total Version 1.": 2, "my_total All.": 2}
        file.write_text(SOURCE.replace("VERSION", "2"))
        await gateway.reload()
        await gateway.get("/a")
        assert counted() == {"my_asked_total Version 2.": 1, "my_total All.": 1}
        assert b'my_asked_total{path="/a"} 1.0' in gateway.metrics.now("text")
        await gateway.reload(middleware="{}")
        assert counted() == {}


@pytest.mark.parametrize("broken", ["raise RuntimeError('no')", "class Mine: pass", "Counter('my_asked', '')"])
async def test_one_that_is_refused_takes_nothing_away(tmp_path: Path, broken: str) -> None:
    """While a new version has mistakes, the metrics of the former one are still shown."""
    file = tmp_path / "p.py"
    file.write_text(SOURCE.replace("VERSION", "1"))
    async with running(tmp_path, ROUTES, POLICY) as gateway:
        await gateway.get("/a")
        file.write_text(SOURCE.replace("VERSION", "2") + broken)
        assert await gateway.reloader.reload() is not None
        await gateway.get("/a")
        assert counted() == {"my_asked_total Version 1.": 2, "my_total All.": 2}


def test_what_a_file_made_before_it_failed_is_gone(tmp_path: Path) -> None:
    """A file that raises behind its metrics can be loaded again."""
    source = SOURCE.replace("VERSION", "1").encode()
    served = PolicyFile(tmp_path / "p.py", source)
    served.publish()
    with pytest.raises(RuntimeError):
        PolicyFile(tmp_path / "p.py", source + b"raise RuntimeError('no')", [served])
    assert set(counted()) == {"my_total All."}
    served.retire()


async def test_one_that_cannot_start_takes_nothing_away(tmp_path: Path) -> None:
    """The same where it is another policy that refuses to start."""
    file = tmp_path / "p.py"
    file.write_text(SOURCE.replace("VERSION", "1"))
    other = "from pathlib import Path\nclass Other:\n    async def start(self):\n        raise OSError('no')\n"
    (tmp_path / "q.py").write_text(other + "    def wrap(self, handler):\n        return handler\n")
    async with running(tmp_path, ROUTES, POLICY) as gateway:
        await gateway.get("/a")
        file.write_text(SOURCE.replace("VERSION", "2"))
        (tmp_path / "middleware.yaml").write_text(
            "policies: {mine: {class: 'p.py:Mine'}, other: {class: 'q.py:Other'}}"
        )
        assert await gateway.reloader.reload() is not None
        assert counted() == {"my_asked_total Version 1.": 1, "my_total All.": 1}

"""The README's first minutes, followed word by word: `make run` without the fixed ports."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.docs.samples import Block, blocks, commands, shell
from tests.support import GatewayProcess, eventually, running_gateway

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
PORTS = {"process-design": 9003, "execution-engine": 9005, "scheduling": 9008}
DEMO = "import asyncio; from gateway import demo; asyncio.run(demo.serve(dict.fromkeys({services!r}, 0)))"


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    """The ports of the demo backends."""
    command = [sys.executable, "-c", DEMO.format(services=list(PORTS))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline().strip().rpartition(":") for _ in PORTS]
    yield dict(zip(PORTS, (int(port) for _, _, port in lines), strict=True))
    process.kill()
    process.communicate()


@dataclass(frozen=True, slots=True)
class Reader:
    """Who follows the README."""

    gateway: GatewayProcess
    ports: dict[str, int]
    directory: Path

    def real(self, text: str) -> str:
        """With the ports of this test in place of the README's."""
        text = text.replace("127.0.0.1:9000", f"127.0.0.1:{self.gateway.port}")
        for service, port in PORTS.items():
            text = text.replace(f"{service}:{port}", f"{service}:{self.ports[service]}")
        return text

    def run(self, line: str) -> str:
        """What a command prints, with the README's ports."""
        environment = {**os.environ, "GATEWAY_ADMIN": f"127.0.0.1:{self.gateway.admin_port}"}
        output = shell(self.directory, self.real(line), environment)
        for service, port in self.ports.items():
            output = output.replace(f"{service}:{port}", f"{service}:{PORTS[service]}")
        return output.replace(f"127.0.0.1:{self.gateway.port}", "127.0.0.1:9000")

    def change(self, file: str, old: str, new: str) -> None:
        """Edit a file."""
        path = self.directory / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, ports: dict[str, int]) -> Iterator[Reader]:
    base = tmp_path_factory.mktemp("readme")
    (base / "config").mkdir()
    (base / "config" / "hosts").write_bytes((ROOT / "hosts").read_bytes())
    files = {name: (ROOT / f"{name}.yaml").read_text() for name in ("routes", "middleware", "auth")}
    for service, port in PORTS.items():
        files["routes"] = files["routes"].replace(f"{service}:{port}", f"{service}:{ports[service]}")
    console = ("--log-format", "console")  # as make run
    with running_gateway(base, files["routes"], files["middleware"], files["auth"], arguments=console) as gateway:
        yield Reader(gateway, ports, gateway.directory)


def _section(title: str) -> list[Block]:
    return list(blocks(README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]))


def _follow(reader: Reader, block: Block) -> None:
    for command in commands(block.text):
        output = reader.run(command.line)
        assert command.fits(output), f"{command.line} printed\n{output}"


@pytest.mark.timeout(240)  # half a minute of commands by itself; on a busy machine several times of it
async def test_the_first_five_minutes(reader: Reader) -> None:
    """Each command prints what the README shows, each file that it has one write is taken up, and what it says of a
    misspelt key and a misspelt host happens; at last the route is protected and limited."""
    assert reader.run(".venv/bin/gateway check") == "ok, 0 warnings\n"
    for block in _section("Two commands"):
        _follow(reader, block)
    route, asked, made = _section("A first route")
    (reader.directory / "routes.yaml").open("a").write(reader.real(route.text))
    await eventually(lambda: "reloaded: 4 routes" in reader.gateway.log)
    _follow(reader, asked)
    reader.change("routes.yaml", "- path: /hello/{name}\n  target", "- path: /hello/{name}\n  taget")
    await eventually(lambda: 'taget: unknown key, did you mean "target"?' in reader.gateway.log)
    assert "/greet/world" in reader.run("curl -s http://127.0.0.1:9000/hello/world")
    reader.change("routes.yaml", "  taget", "  target")
    reader.change(
        "routes.yaml", "- path: /hello/{name}\n  target: scheduling", "- path: /hello/{name}\n  target: schedulin"
    )
    await eventually(lambda: "routes[3].target: schedulin does not resolve here" in reader.gateway.log)
    assert "schedulin does not resolve here" in reader.run(".venv/bin/gateway check")
    reader.change("routes.yaml", "target: schedulin:", "target: scheduling:")
    _follow(reader, made)
    _protect(reader)


def _protect(reader: Reader) -> None:
    """A key, a limit, and the test that holds both."""
    new_key, auth, limits, tests, tested = _section("Protect it")
    _follow(reader, new_key)
    made = json.loads(reader.run(".venv/bin/gateway keys new --consumer acme-app --json"))
    (reader.directory / "auth.yaml").open("a").write(auth.text.replace("sha256:...", made["hash"]))
    middleware = reader.directory / "middleware.yaml"
    middleware.write_text(re.sub(r"^rate_limits:\n(  .*\n)+", limits.text, middleware.read_text(), flags=re.MULTILINE))
    assert reader.run(".venv/bin/gateway check") == "ok, 0 warnings\n"
    assert reader.run(".venv/bin/gateway reload").startswith("configuration ")
    url = f"http://127.0.0.1:{reader.gateway.port}/hello/world"
    assert httpx2.get(url).status_code == 401
    with httpx2.Client(headers={"x-api-key": made["key"]}) as client:
        assert [client.get(url).status_code for _ in range(10)] == [200] * 10
        refused = next(answer for _ in range(200) if (answer := client.get(url)).status_code != 200)
    assert (refused.status_code, "retry-after" in refused.headers) == (429, True)
    (reader.directory / "tests.yaml").write_text(tests.text)
    (command,) = commands(tested.text)
    assert command.fits(reader.run(command.line.replace("gw_...", made["key"])))

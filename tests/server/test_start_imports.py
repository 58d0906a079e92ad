"""What a start costs: mostly imports, of which a gateway has those alone that its configuration needs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

PLAIN = {
    "annotated_types",
    "click",
    "cython_runtime",
    "httptools",
    "orjson",
    "prometheus_client",
    "pydantic",
    "pydantic_core",
    "typing_extensions",
    "typing_inspection",
    "uvloop",
    "yaml",
}
"""Not among them: compressors, clients of HTTP and Redis, cryptography, JWT, name servers, WebSockets, readers of other
gateways."""

SERVED = """
import asyncio, json, sys
from pathlib import Path
import uvloop, gateway.cli, gateway.cli.serving, gateway.server.run
from gateway.build import build
from gateway.config.load import load
from gateway.deadlines import Deadlines
from gateway.live import Owner
from gateway.trial import try_out
from gateway.upstream.transport import Connector, Resolver

async def main():
    configuration = load(Path(sys.argv[1]), {})
    try_out(configuration, {})
    build(configuration, Owner().plan(), Connector(Deadlines(asyncio.get_running_loop()), Resolver({})))

asyncio.run(main())
print(json.dumps(sorted(sys.modules)))
"""


def _modules(directory: Path) -> list[str]:
    """Those of a gateway that has compiled this configuration, by their whole names."""
    run = subprocess.run([sys.executable, "-c", SERVED, str(directory)], capture_output=True, text=True, check=True)
    names: list[str] = json.loads(run.stdout)
    return names


def _imported(directory: Path) -> set[str]:
    """The libraries among them."""
    names = {name.partition(".")[0] for name in _modules(directory)} - set(sys.stdlib_module_names)
    return {name for name in names if not name.startswith("_")} - {"gateway", "compiled"}


def _plain(directory: Path) -> None:
    (directory / "routes.yaml").write_text("routes:\n- path: /*\n  target: 127.0.0.1:1\n")
    (directory / "middleware.yaml").write_text("rate_limits: {all: {key: [address], limits: [50/d]}}\n")
    (directory / "auth.yaml").write_text("schemes: {keys: {api_key: {}}}\n")


def test_a_plain_gateway_imports_what_it_needs(tmp_path: Path) -> None:
    """A key, a limit and a route need no library of schemes, stores and registries that are not configured."""
    _plain(tmp_path)
    assert {name for name in _imported(tmp_path) if "__mypyc" not in name} <= PLAIN


OF_PARTS = (
    *("gateway.server.alert_looking", "gateway.monitor.alerts", "gateway.monitor.telemetry.exporting"),
    *("gateway.monitor.telemetry.pipeline", "gateway.bus.outbox", "gateway.registry.publishing"),
    "gateway.server.agent_reports",
)

OF_OTHERS = (
    *("gateway.llm", "gateway.mcp", "gateway.model_targets"),
    *("gateway.config.models.llm.file", "gateway.config.models.llm.providers", "gateway.config.models.llm.routing"),
    *("gateway.config.models.llm.mcp", "gateway.config.models.llm.guardrails", "gateway.config.models.llm.budgets"),
    *("gateway.admin", "gateway.explain", "gateway.monitor.recent_requests"),
    *("gateway.cache.configured", "gateway.cache.policy", "gateway.cache.memory", "gateway.cache.redis"),
    *("gateway.algorithms.conditions.compile", "gateway.algorithms.conditions.syntax"),
    *("gateway.auth.basic", "gateway.auth.htpasswd", "gateway.auth.mounted"),
    *("gateway.registry.dns", "gateway.registry.file", "gateway.registry.redis"),
    *("gateway.middleware.compressors", "gateway.middleware.policy_loading", "gateway.upstream.asgi.application"),
    *("gateway.balancing.hashing", "gateway.routes.explain"),
    *("gateway.control_messages", "gateway.server.side_connections", "gateway.upstream.split"),
    *OF_PARTS,
)


def test_a_plain_gateway_imports_nothing_of_what_it_does_not_have(tmp_path: Path) -> None:
    """Models, the admin port, a cache, alerts, exporters and others are imported for those who have them."""
    _plain(tmp_path)
    assert [name for name in _modules(tmp_path) if name.startswith(OF_OTHERS)] == []


def test_the_admin_port_imports_models_for_those_who_have_them() -> None:
    """It is on where nobody says otherwise, and models and MCP are a tenth of all modules."""
    code = "import json, sys, gateway.admin.app; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [name for name in json.loads(run.stdout) if name.startswith(("gateway.llm", "gateway.mcp"))] == []


def test_a_gateway_of_models_imports_what_leads_to_them(tmp_path: Path) -> None:
    """With models.yaml that is there when the configuration is compiled, and no request waits for it."""
    _plain(tmp_path)
    (tmp_path / "auth.yaml").write_text("schemes: {keys: {api_key: {}}}\ndefault: [keys]\n")
    (tmp_path / "models.yaml").write_text("providers: {openai: {keys: [sk-1234567890]}}\n")
    assert {"gateway.llm.handler", "gateway.mcp.configured"} <= set(_modules(tmp_path))


def test_what_is_configured_is_there(tmp_path: Path) -> None:
    """A registry that is asked over HTTP brings its client."""
    (tmp_path / "routes.yaml").write_text(
        "services: {a: {discovery: {consul: {url: 'http://127.0.0.1:1', service: a}}}}\n"
        "routes:\n- path: /*\n  target: a\n"
    )
    assert "httpx2" in _imported(tmp_path)


SERVING = """
import sys, threading
from gateway.cli import main

class Seen:
    def find_spec(self, name, *_):
        print(name, threading.current_thread() is threading.main_thread(), flush=True)

sys.meta_path.insert(0, Seen())
main(["serve", "--config", sys.argv[1], "--host", "127.0.0.1", "--port", "0", "--admin", "off"])
"""

PARTS = """
alerts: {rules: {errors: {when: error_rate > 5%}}, send: {us: {webhook: 'http://127.0.0.1:1'}}}
telemetry: {otlp: 'http://127.0.0.1:1', metrics: true, logs: true}
agents: {}
"""


def test_parts_that_a_reload_brings_are_imported_beside_the_loop(tmp_path: Path) -> None:
    """A reload that brings the first rule, sender, exporter or bridge keeps no request waiting for libraries."""
    _plain(tmp_path)
    environment = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    command = [sys.executable, "-c", SERVING, str(tmp_path)]
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as gateway,
    ):
        notices.bind(str(tmp_path / "notify"))
        notices.settimeout(60)
        try:
            _until_ready(notices)
            (tmp_path / "middleware.yaml").write_text(PARTS)
            gateway.send_signal(signal.SIGHUP)
            assert "refused" not in _until_ready(notices)
        finally:
            gateway.kill()
        output, _ = gateway.communicate()
    on_the_loop = {name: answer == "True" for name, answer in map(str.split, output.splitlines())}
    parts = {name: where for name, where in on_the_loop.items() if name.startswith(OF_PARTS)}
    assert {part for part in OF_PARTS if any(name.startswith(part) for name in parts)} == set(OF_PARTS)
    assert [name for name, where in parts.items() if where] == []


def _until_ready(notices: socket.socket) -> str:
    while "READY=1" not in (notice := notices.recv(4096).decode()):
        pass
    return notice


IMPORTED = """
import sys
import gateway.cli
assert not [name for name in sys.modules if name.startswith("gateway.") and name.endswith("commands")]
import gateway.cli.serving, gateway.server.run
from pydantic import BaseModel

def below(model):
    for each in model.__subclasses__():
        yield each
        yield from below(each)

ours = {each for each in below(BaseModel) if each.__module__.startswith("gateway.")}
print(len(ours), sorted(each.__name__ for each in ours if each.__pydantic_complete__))
"""


def test_what_is_imported_at_the_start_builds_no_validators() -> None:
    """Neither those of keys and messages, which are built where they are used, nor the commands beside `serve`."""
    run = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    count, built = run.stdout.split(maxsplit=1)
    assert int(count) > 100
    assert built.strip() == "[]"


ALONE = """
import sys
from pathlib import Path
from gateway.config.models.control_plane import ControlPlane
from gateway.config.secrets import KnownSecrets
from gateway.managed.settings import read_settings

print(read_settings(Path(sys.argv[1]), {}, KnownSecrets()).url, ControlPlane.__pydantic_complete__)
"""


def test_a_gateway_without_a_control_plane_builds_no_validator_of_its_keys(tmp_path: Path) -> None:
    """Each start asks for the keys of the control plane; most files have none."""
    _plain(tmp_path)
    run = subprocess.run([sys.executable, "-c", ALONE, str(tmp_path)], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["None", "False"]


def test_plugins_of_pydantic_see_no_configuration(tmp_path: Path) -> None:
    """Secrets are among what is checked; and to look for plugins, every library is asked for what it has."""
    _plain(tmp_path)
    library = tmp_path / "library"
    described = library / "watcher-1.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: watcher\nVersion: 1\n")
    (described / "entry_points.txt").write_text("[pydantic]\nwatcher = watcher:plugin\n")
    (library / "watcher.py").write_text("raise SystemExit('a plugin was loaded')\n")
    paths = f"{library}:{':'.join(sys.path)}"
    command = [sys.executable, "-P", "-m", "gateway.cli", "check", "--config", str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if name != "PYDANTIC_DISABLE_PLUGINS"}
    environment["PYTHONPATH"] = paths
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    environment["PYDANTIC_DISABLE_PLUGINS"] = ""
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "a plugin was loaded" in run.stderr  # whoever wants them says so


CONFIGURED = """
import sys
from pathlib import Path
from gateway.config.load import load
from gateway.config.models.base import Model

load(Path(sys.argv[1]), {})

def below(model):
    for each in model.__subclasses__():
        yield each
        yield from below(each)

print(*sorted({each.__name__ for each in below(Model) if each.__pydantic_complete__}))
"""


def test_a_configuration_builds_the_validators_of_what_is_in_it(tmp_path: Path) -> None:
    """Of the keys that no file has, none is built: with all of them, a start takes a tenth longer."""
    _plain(tmp_path)
    files = {"RoutesFile", "MiddlewareFile", "AuthFile"}
    assert _built(tmp_path) == files | {"RateLimit", "SchemeConfig", "ApiKeyScheme"}


def test_files_that_are_not_there_need_no_validator(tmp_path: Path) -> None:
    """A first configuration is routes.yaml alone; all else has its defaults."""
    (tmp_path / "routes.yaml").write_text("routes:\n- path: /*\n  target: 127.0.0.1:1\n")
    (tmp_path / "auth.yaml").write_text("# nothing yet\n")
    assert _built(tmp_path) == {"RoutesFile"}


def _built(directory: Path) -> set[str]:
    run = subprocess.run([sys.executable, "-c", CONFIGURED, str(directory)], capture_output=True, text=True, check=True)
    return set(run.stdout.split())

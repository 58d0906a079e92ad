"""`gateway last` says how a custom policy has failed, so that nobody has to look for it in the log."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.support import gateway as cli
from tests.lifecycle.support import get
from tests.support import GatewayProcess, running_gateway

POLICIES = {
    "Raises": "raise ValueError('no such tenant')",
    "Forgets": "response = handler(exchange)\n            response.headers\n            return response",
    "Returns": "return handler(exchange)",
    "Awaits": "await len('x')",
}
CLASSES = "".join(
    f"class {name}:\n    def wrap(self, handler):\n        async def handle(exchange):\n            {body}\n"
    "        return handle\n\n\n"
    for name, body in POLICIES.items()
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    directory = tmp_path_factory.mktemp("policies")
    (directory / "config").mkdir()
    (directory / "config" / "p.py").write_text(CLASSES)
    names = [name.lower() for name in POLICIES]
    routes = "".join(f"- {{path: /{name}, id: {name}, target: 'asgi:tests.lifecycle.apps:one'}}\n" for name in names)
    rules = "".join(f"  {name.lower()}: {{class: p.py:{name}, routes: [{name.lower()}]}}\n" for name in POLICIES)
    with running_gateway(directory, f"routes:\n{routes}", f"policies:\n{rules}errors: {{detail: full}}\n") as process:
        yield process


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raises", "ValueError: no such tenant at"),
        ("forgets", "is an await missing, as in: response = await handler(exchange)?"),
        ("returns", "is an await missing, as in: response = await handler(exchange)?"),
        ("awaits", "a plain def in place of an async def?"),
    ],
)
def test_the_failure_of_a_policy_is_shown(gateway: GatewayProcess, name: str, said: str) -> None:
    """Its exception with file and line, and what is probably missing; the client reads nothing of it."""
    response = get(gateway, f"/{name}")
    assert response.status_code == 500
    assert said not in response.text
    assert "p.py" not in response.text
    shown = cli("last", "--admin", f"127.0.0.1:{gateway.admin_port}").stdout
    assert said in shown
    assert "p.py:" in shown

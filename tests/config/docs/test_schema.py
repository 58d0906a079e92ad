from functools import cache
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from gateway.config.docs.reference import SAMPLE
from gateway.config.docs.schema import schemas
from gateway.config.models import FILES
from tests.config.models.test_llm import SEED
from tests.config.support import ROUTE

FULL = """\
base_path: /api
accept_rewritten: true
services:
  users:
    endpoints: ['a:1', {address: 'b:2', weight: 3}, {address: '${B}', weight: '${W}'}]
    protocol: https
    tls: {verify: false}
    connections:
routes:
- id: one
  path: /v1/{a}/*
  host: ['*.example.com']
  methods: [GET]
  headers: {x: y, z: {present: true}}
  query: {q: {regex: '.'}}
  target: users
  rewrite: /$1
  preserve_host: ${KEEP}
  timeout: {connect: 1s, total: 2.5}
  max_body: 10MiB
- {path: '${PATH}', target: 'https://b', host: b, timeout: 5s}
"""

known_schemas = cache(schemas)  # half a second of work


def fits(file: str, text: str) -> bool:
    value: Any = yaml.safe_load(text)
    return Draft202012Validator(known_schemas()[file]).is_valid(value)


@pytest.mark.parametrize("file", FILES)
def test_a_schema_is_a_schema(file: str) -> None:
    """Each is valid by its own dialect."""
    Draft202012Validator.check_schema(known_schemas()[file])


@pytest.mark.parametrize("text", [SAMPLE, SAMPLE.removeprefix("routes:\n"), FULL, ROUTE])
def test_right_routes_fit_the_schema(text: str) -> None:
    """An editor does not complain of what the gateway takes."""
    assert fits("routes.yaml", text)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("base_path: /api", "base_path: api/"),
        ("accept_rewritten: true", "accept_rewritten: 5"),
        ("weight: 3", "weight: -1"),
        ("protocol: https", "protocol: h2"),
        ("path: /v1/{a}/*", "path: v1"),
        ("methods: [GET]", "methods: []"),
        ("methods: [GET]", "methods: GET"),
        ("target: users", "targt: users"),
        ("target: 'https://b'", "target: 'https://b/c'"),
        ("connect: 1s", "connect: 1x"),
        ("max_body: 10MiB", "max_body: -1"),
        ("max_body: 10MiB", "max_body:"),
        ("id: one", "id:"),
    ],
)
def test_wrong_routes_do_not_fit_the_schema(before: str, after: str) -> None:
    """An editor marks the slip."""
    assert before in FULL
    assert not fits("routes.yaml", FULL.replace(before, after))


@pytest.mark.parametrize(
    ("file", "text", "right"),
    [
        ("middleware.yaml", "limits: {head: 64KiB, body: '${BODY}'}\ntimeouts:\ndrain: {window: 0}\n", True),
        ("middleware.yaml", "limits: {heads: 64KiB}\n", False),
        ("middleware.yaml", "access_log: {format: xml}\n", False),
        ("middleware.yaml", "rate_limits: {by-key: {limits: [10/s]}}\n", True),
        ("middleware.yaml", "rate_limits: {'by key': {limits: [10/s]}}\n", False),
        ("auth.yaml", "schemes: {users: {basic: {realm: staff only}}}\n", True),
        ("auth.yaml", "schemes: {users: {basic: {realm: '\"staff\"'}}}\n", False),
        ("auth.yaml", "schemes: {users: {basic: {realm: '${REALM}'}}}\n", True),
        ("auth.yaml", "trusted_proxies: [10.0.0.0/8]\n", True),
        ("auth.yaml", "trusted_proxies:\n", True),
        ("auth.yaml", "trusted_proxies: [somewhere]\n", False),
        ("models.yaml", SEED, True),
        ("models.yaml", "model_routing: {profiles: {a: {max_context_tokens: 5}}}\n", True),
        ("models.yaml", "modelRouting: {profiles: {a: {maxContextTokens: '5'}}}\n", False),
        ("models.yaml", "providers: {openai: {keys: '${K}', models: gpt-5}}\n", True),
        ("models.yaml", "providers: {openai: {protocol: smtp}}\n", False),
        ("models.yaml", "budgets: {b: {limits: [{usd: 5, window: 30m}, {usd: '5', window: day}]}}\n", True),
        ("models.yaml", "budgets: {b: {limits: [{usd: 5, window: fortnight}]}}\n", False),
        ("models.yaml", "modelRouting: {rules: [{when: {header: {name: a}}, use: b}]}\n", True),
        ("models.yaml", "modelRouting: {rules: [{when: {header: [{name: a}], model: [b]}, use: b}]}\n", True),
        ("models.yaml", "content: hash\nguardrails: {g: {policy: 'a:B', 'on': input}}\n", True),
    ],
)
def test_the_other_files_have_schemas_too(file: str, text: str, right: bool) -> None:
    """Valid values pass, and invalid ones do not."""
    assert fits(file, text) is right


def test_every_key_has_a_description() -> None:
    """An editor explains what it completes."""
    for schema in known_schemas().values():
        for definition in schema["$defs"].values():
            assert definition.get("description")
            for name, key in definition.get("properties", {}).items():
                assert "description" in key or "$ref" in key, name

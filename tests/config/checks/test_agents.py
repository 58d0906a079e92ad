"""The bridge to an agent network: what would bring nothing in, or let something out."""

from __future__ import annotations

import pytest

from gateway.config.checks.agents import credentials_in_clear, names_of_others, services_without_networks
from tests.config.support import errors, parsed

ROUTES = "services: {jobs: {discovery: {agents: acme}}}\nroutes: [{path: /x, target: jobs}]"


@pytest.mark.parametrize(
    ("middleware", "warning"),
    [
        ("", "middleware.yaml has no group agents"),
        ("agents: {prefix: acme}", "agents.networks of middleware.yaml is empty"),
        ("agents: {prefix: acne, networks: [10.0.0.0/8]}", "the prefix of the bridge is acne"),
    ],
)
def test_a_service_of_agents_needs_a_bridge(middleware: str, warning: str) -> None:
    """With networks, and with its prefix."""
    [fault] = services_without_networks(parsed(ROUTES, middleware=middleware))
    assert warning in fault.message
    right = "agents: {prefix: acme, networks: [10.0.0.0/8]}"
    assert list(services_without_networks(parsed(ROUTES, middleware=right))) == []


def test_keys_in_clear_and_names_of_others_are_warned_of() -> None:
    """Each with its place."""
    key = "PERBx880AtktU8shc+iQY2ejzYxjjwSKXRvAqzCNPpY="
    middleware = f"agents: {{prefix: acme, send_credentials: true, pins: {{acme-rooter: {key}, acme-auth: {key}}}}}"
    configuration = parsed(ROUTES, middleware=middleware)
    assert [fault.path for fault in credentials_in_clear(configuration)] == [("agents", "send_credentials")]
    assert [fault.path for fault in names_of_others(configuration)] == [("agents", "pins", "acme-rooter")]


@pytest.mark.parametrize(
    ("agents", "error"),
    [
        ("{prefix: Acme}", "agents.prefix: a prefix is at most 40 small letters"),
        ("{pins: {acme-auth: nonsense}}", "agents.pins.acme-auth: expected an Ed25519 key of 32 bytes"),
        ("{sample: 1.5}", "agents.sample"),
        ("{delivery: {access-log: post}}", "agents.delivery"),
        ("{delivery: {no-topic: inbox}}", "agents.delivery"),
        ("{webhook: '0.0.0.0:9010', webhook_secret: x}", "agents.webhook: expected an address of this machine"),
        ("{webhook: '127.0.0.1:9010'}", "webhook and webhook_secret belong together"),
        ("{networks: [nowhere]}", "agents.networks"),
        ("{alerts: {ops: {webhook: 'http://x/'}}}", "leave by HTTPS only"),
    ],
)
def test_wrong_settings_are_refused_with_their_place(agents: str, error: str) -> None:
    """And with what is expected."""
    assert error in errors(ROUTES, middleware=f"agents: {agents}")[0]

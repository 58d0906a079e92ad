"""Secrets in plain text, wherever a model has one."""

from __future__ import annotations

import pytest

from gateway.config.checks import WARNINGS, run
from gateway.config.problems import Problem
from tests.config.support import parsed

SIGNATURE = "consumers: [{name: a, signatures: [{key_id: k, algorithm: hmac-sha256, secret: %s}]}]\n"
INTROSPECTION = "schemes: {o: {introspection: {url: 'https://id.example.com/i', client_id: g, client_secret: %s}}}\n"
HOOK = "alerts: {send: {hook: {webhook: 'https://hooks.example.com/x', secret: %s}}}\n"


@pytest.mark.parametrize(
    ("file", "text", "place"),
    [
        ("auth", INTROSPECTION, "schemes.o.introspection.client_secret"),
        ("auth", SIGNATURE, "consumers[0].signatures[0].secret"),
        ("middleware", HOOK, "alerts.send.hook.secret"),
    ],
)
def test_a_secret_in_plain_text(file: str, text: str, place: str) -> None:
    """It is a warning with its place and without the secret; one from the environment or a file is none."""
    secret = "0123456789abcdef0123456789abcdef"
    (found,) = _warnings(file, text % secret)
    assert (found.where, secret in str(found)) == (place, False)
    assert not _warnings(file, text % "'${S}'")


def _warnings(file: str, text: str) -> list[Problem]:
    auth, middleware = (text, "") if file == "auth" else ("", text)
    configuration = parsed(auth=auth, middleware=middleware, environment={"S": "fedcba9876543210" * 2})
    return [each for each in run(WARNINGS, configuration, "warning") if "in plain text" in each.message]

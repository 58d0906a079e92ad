"""Problem documents: their contents, and their media types."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import ErrorKind
from gateway.http.problems import wants_text
from tests.resilience.support import backend, response, running
from tests.support import free_port

REVEALING = {
    ErrorKind.CLIENT_GONE,  # there is no client
    ErrorKind.MAINTENANCE,  # its text is written for clients
    ErrorKind.NOT_CACHED,
    ErrorKind.NOT_IMPLEMENTED,
    ErrorKind.VERSION_NOT_SUPPORTED,
}
"""Kinds whose detail is about the request."""


@pytest.mark.parametrize(
    ("accept", "text"),
    [
        (b"", False),
        (b"*/*", False),
        (b"text/plain", True),
        (b"text/plain, application/json", True),
        (b"application/json, text/plain", False),
        (b"application/problem+json;q=0.2, text/plain;q=0.9", True),
        (b"text/plain;q=0.1, application/json", False),
        (b"text/plain;q=0, application/json", False),
        (b"text/plain;q=0", False),
        (b"text/plain;q=nonsense", False),
    ],
)
def test_plain_text_goes_to_those_who_prefer_it(accept: bytes, text: bool) -> None:
    """The weights of Accept decide, then the order; without text in Accept it is a problem document."""
    assert wants_text(accept) is text


@pytest.mark.parametrize("kind", [kind for kind in ErrorKind if kind.status >= 499 and kind not in REVEALING])
def test_a_failure_behind_the_gateway_has_a_detail_of_its_own(kind: ErrorKind) -> None:
    """Whatever its detail says."""
    assert kind.public_detail


ROUTES = """
services:
  private-orders: {{endpoints: ['127.0.0.1:{dead}']}}
  private-names: {{endpoints: ['orders.internal.invalid:80']}}
  private-tls: {{protocol: https, endpoints: ['127.0.0.1:{plain}']}}
routes:
- {{path: /dead, target: private-orders}}
- {{path: /names, target: private-names}}
- {{path: /tls, target: private-tls}}
- {{path: /authorized, authorize: [{{when: 'client in "203.0.113.9/32"'}}], redirect: /, id: vip-only}}
"""


async def test_a_client_does_not_learn_what_is_behind_the_gateway(tmp_path: Path) -> None:
    """No address, name or rule is in its problem document, in JSON or as text; with `detail: full` all of it is."""
    dead = free_port()
    async with backend(response(200)) as plain:
        port = plain.address.rpartition(":")[2]
        private = {
            "/dead": f"127.0.0.1:{dead}",
            "/names": "orders.internal.invalid",
            "/tls": f"127.0.0.1:{port}",
            "/authorized": "rule vip-only[0]",
        }
        async with running(tmp_path, ROUTES.format(dead=dead, plain=port)) as gateway:
            for path, name in private.items():
                for accept in ("application/json", "text/plain"):
                    answer = await gateway.get(path, headers={"accept": accept})
                    assert answer.status_code >= 400
                    assert name not in answer.text
                    assert "private-" not in answer.text
                    assert name in str(gateway.last.error)
            await gateway.reload(middleware="errors: {detail: full}")
            for path, name in private.items():
                assert name in (await gateway.get(path)).json()["detail"]

"""What logs say of the URLs that are asked."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from gateway.auth.jwks import JwksSettings, PublishedKeys
from gateway.http.redaction import shown_url
from gateway.http.testing import make_exchange
from tests.auth.schemes_support import Asked, Reply, http_service, refused, running
from tests.auth.support import ISSUER, issuer_server
from tests.support import eventually, free_port

SECRET = "sesame-open-4711"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.b/c", "https://a.b/c"),
        ("https://a.b", "https://a.b"),
        (f"https://a.b/c?key={SECRET}&v=1", "https://a.b/c?key=(hidden)&v=(hidden)"),
        (f"https://a.b/c?a={SECRET}={SECRET}&b=&{SECRET}", "https://a.b/c?a=(hidden)&b=&(hidden)"),
        (f"https://a.b/c?{SECRET}", "https://a.b/c?(hidden)"),
        (f"https://user:{SECRET}@a.b:8/c", "https://a.b:8/c"),
        (f"https://u@{SECRET}@a.b?k={SECRET}", "https://a.b?k=(hidden)"),
        (f"https://a.b?k={SECRET}/x@y", "https://a.b?k=(hidden)"),
        (f"//user:{SECRET}@a.b/c@d", "//a.b/c@d"),
        (f"http:/user:{SECRET}@a.b/c", "http:/a.b/c"),
        (f"http:///user:{SECRET}@a.b/c", "http:///a.b/c"),
        (f"https:\\\\user:{SECRET}@a.b\\c", "https:\\\\a.b\\c"),
        (f"user:{SECRET}@a.b/c", "a.b/c"),
        ("https://a.b/@c", "https://a.b/@c"),
        ("/a@b/c@d", "/a@b/c@d"),
    ],
)
def test_a_url_is_shown_without_what_is_secret(url: str, shown: str) -> None:
    """User, password and the values of the query; the rest is what an operator looks for."""
    assert shown_url(url) == shown


@pytest.mark.parametrize("kind", ["forward_auth", "introspection"])
@pytest.mark.parametrize("reply", [(500, {}, b""), (404, {}, b""), (200, {}, b"x" * 300_000), None])
async def test_a_failure_is_reported_without_the_secrets_of_the_url(
    kind: str, reply: Reply | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether the service answers something else, too much, or cannot be reached."""

    async def answer(asked: Asked) -> Reply:
        assert reply is not None
        return reply

    async with http_service(answer) as service:
        port = service.port if reply is not None else free_port()
        settings: dict[str, Any] = {"url": f"http://127.0.0.1:{port}/verify?key={SECRET}"}
        async with running({"schemes": {"ask": {kind: settings}}}, "ask") as scheme:
            refused(await scheme.authenticate(make_exchange(headers=[("authorization", "Bearer opaque")])))
    assert f"http://127.0.0.1:{port}/verify?key=(hidden)" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize("body", [b"{}", b"[", b'{"keys": []}', None])
@pytest.mark.parametrize("discovery", [False, True])
async def test_keys_that_cannot_be_fetched_are_reported_in_the_same_way(
    body: bytes | None, discovery: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The URL of the keys, and that of the metadata."""

    async def answer(path: str) -> Any:
        return (200, [], body) if body is not None else (403, [], b"")

    async with issuer_server() as issuer:
        issuer.answer = answer
        settings = JwksSettings(ISSUER, f"{issuer.url}?key={SECRET}", discovery, 600, 86400)
        keys = PublishedKeys(settings)
        with caplog.at_level(logging.WARNING):
            await keys.start()
            await eventually(lambda: keys.failures > 0)
        await keys.stop()
    assert "key=(hidden)" in caplog.text
    assert SECRET not in caplog.text

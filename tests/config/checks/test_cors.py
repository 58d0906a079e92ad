"""Pages that may call, and cannot show for whom."""

import pytest

from gateway.config.checks.cors import without_credentials
from tests.config.support import parsed

ROUTES = "routes: [{{id: shop, path: /shop, target: 'a:1'{}}}]"
CORS = "cors: {{app: {{origins: ['https://app.example.com']{}}}}}"
SCHEMES = """
default: [{}]
schemes:
  key: {{api_key: {{header: X-API-Key}}}}
  cookie: {{api_key: {{header: X-API-Key, cookie: session}}}}
  query: {{api_key: {{header: X-API-Key, query: key}}}}
  token: {{jwt: {{issuers: [{{issuer: i, audiences: [a], algorithms: [HS256], secret: {}}}]}}}}
  basic: {{basic: {{}}}}
  asked: {{forward_auth: {{url: 'http://a:1'}}}}
  anyone: {{anonymous: {{}}}}
"""


def _found(default: str, cors: str, route: str = "") -> list[str]:
    middleware, auth = CORS.format(cors), SCHEMES.format(default, "0123456789abcdef" * 4)
    return [
        fault.message for fault in without_credentials(parsed(ROUTES.format(route), middleware=middleware, auth=auth))
    ]


@pytest.mark.parametrize(
    ("default", "cors", "header"),
    [
        ("key", "", "x-api-key"),
        ("key", ", headers: [Content-Type]", "x-api-key"),
        ("key", ", credentials: true", "x-api-key"),
        ("cookie", "", "x-api-key"),
        ("token", "", "authorization"),
        ("token", ", headers: ['*']", "authorization"),
        ("basic", "", "authorization"),
        ("key, token", "", "x-api-key or authorization"),
    ],
)
def test_a_header_that_pages_may_not_send_is_named(default: str, cors: str, header: str) -> None:
    """Each call of theirs with a credential would be kept back by the browser, and each without one is a 401."""
    (message,) = _found(default, cors)
    assert f'pages cannot send {header}, which route "shop" needs' in message.lower()


@pytest.mark.parametrize(
    ("default", "cors", "route"),
    [
        ("key", ", headers: [x-api-key]", ""),
        ("key", ", headers: ['*']", ""),
        ("token", ", headers: [Authorization]", ""),
        ("key, token", ", headers: [Authorization]", ""),
        ("cookie", ", credentials: true", ""),
        ("query", "", ""),
        ("basic", ", credentials: true", ""),
        ("asked", "", ""),
        ("key, anyone", "", ""),
        ("key", "", ", auth: []"),
        ("key", ", routes: [other-*]", ""),
    ],
)
def test_nothing_is_said_where_one_credential_can_be_sent(default: str, cors: str, route: str) -> None:
    """One of several is enough; and a route without authentication needs none."""
    assert _found(default, cors, route) == []

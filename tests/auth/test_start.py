"""What a gateway does that cannot begin to authenticate."""

import json
from pathlib import Path

import httpx2

from tests.support import running_gateway


def test_the_mistake_of_a_file_is_told_at_the_start(tmp_path: Path) -> None:
    """A gateway with a key file that is not there stays up, is not ready, and says why."""
    auth = json.dumps({"schemes": {"keys": {"api_key": None}}, "consumers": [{"name": "a", "keys": [{"file": "no"}]}]})
    routes = "- {path: /x, target: 'a:80', auth: keys}"
    with running_gateway(tmp_path, routes, auth=auth, ready=False) as gateway:
        health = httpx2.get(gateway.url + "/health").json()
        assert "auth.yaml:1:" in str(health)
        assert "No such file" in str(health)

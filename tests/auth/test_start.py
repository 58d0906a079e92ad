"""What a gateway does that cannot begin to authenticate."""

import json
from pathlib import Path

import httpx2

from tests.support import running_gateway, until


def test_the_mistake_of_a_file_is_reported_at_the_start(tmp_path: Path) -> None:
    """A gateway with a key file that is not there stays up, is not ready, and its log says why."""
    auth = json.dumps({"schemes": {"keys": {"api_key": None}}, "consumers": [{"name": "a", "keys": [{"file": "no"}]}]})
    routes = "- {path: /x, target: 'a:80', auth: keys}"
    with running_gateway(tmp_path, routes, auth=auth, ready=False) as gateway:
        health = httpx2.get(gateway.url + "/health").json()
        assert (health["status"], health["config"]["problems"]) == ("no configuration", 1)
        until(lambda: "auth.yaml:1:" in gateway.log and "No such file" in gateway.log)

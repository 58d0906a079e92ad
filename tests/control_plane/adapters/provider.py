"""A provider of gateways, as `docs/cloud-provider.yaml` describes it: every request and answer is held to that."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml
from jsonschema import Draft202012Validator

from tests.control_plane.adapters.peers import Answer, Asked

DOCUMENT = yaml.safe_load((Path(__file__).parents[3] / "docs/cloud-provider.yaml").read_text())


def validate(value: Any, schema: str) -> None:
    """Raises where a value is not as the document says."""
    Draft202012Validator({"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]}).validate(
        value
    )


@dataclass
class FakeProvider:
    """It makes gateways in its memory; each is active after `looks` looks at its status."""

    looks: int = 0
    gateways: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens: int = 0
    expires_in: object = 3600
    failing: list[Answer] = field(default_factory=list)  # answered in turn, after the work is done
    undone: list[Answer] = field(default_factory=list)  # answered in turn, without doing anything

    async def __call__(self, asked: Asked) -> Answer:
        if asked.target == "/v1/oauth2/token":
            return self._token(asked)
        if asked.headers.get("authorization") != f"Bearer token-{self.tokens}":
            return 401, {"message": "the token is not known"}
        if self.undone:
            return self.undone.pop(0)
        answer = self._answered(asked)
        return self.failing.pop(0) if self.failing else answer

    def _token(self, asked: Asked) -> Answer:
        form = parse_qs(asked.body.decode())
        pair = base64.b64encode(b"client:s%2Fcret").decode()
        if asked.headers.get("authorization") != f"Basic {pair}" or form["grant_type"] != ["client_credentials"]:
            return 401, {"error": "invalid_client", "error_description": f"not {asked.headers['authorization']}"}
        self.tokens += 1
        return 200, {"access_token": f"token-{self.tokens}", "token_type": "Bearer", "expires_in": self.expires_in}

    def _answered(self, asked: Asked) -> Answer:
        parts = urlsplit(asked.target)
        steps = parts.path.removeprefix("/v1").split("/")[2:]
        if not steps:
            return self._made(asked) if asked.method == "POST" else self._listed(parse_qs(parts.query)["reference"][0])
        if steps[0] not in self.gateways:
            return 404, {"message": "no such gateway"}
        gateway = self.gateways[steps[0]]
        if steps[1:] == ["status"]:
            return self._status(gateway)
        if asked.method == "DELETE":
            del self.gateways[steps[0]]
            return 204, None
        validate(asked.json(), "Wanted")
        gateway["wanted"] = asked.json()
        return 200, self._shown(gateway)

    def _made(self, asked: Asked) -> Answer:
        wanted = asked.json()
        validate(wanted, "Wanted")
        assert asked.headers["idempotency-key"] == wanted["reference"]
        found = next(
            (each for each in self.gateways.values() if each["wanted"]["reference"] == wanted["reference"]), None
        )
        if found is None:
            found = {"id": f"gw {len(self.gateways)}", "wanted": wanted, "looks": self.looks}
            self.gateways[found["id"].replace(" ", "%20")] = found
        return 201, self._shown(found)

    def _listed(self, reference: str) -> Answer:
        found = [each for each in self.gateways.values() if each["wanted"]["reference"] == reference]
        return 200, {"gateways": [self._shown(each) for each in found]}

    def _status(self, gateway: dict[str, Any]) -> Answer:
        gateway["looks"] -= 1
        said = {"status": self._shown(gateway)["status"], "endpoint": "https://gw.example.com", "region": "us-east-1"}
        said["metrics"] = {"resourceCount": 3, "requestRate": 12.5, "errorRate": 0.5}
        validate(said, "Status")
        return 200, said

    def _shown(self, gateway: dict[str, Any]) -> dict[str, Any]:
        state = "ACTIVE" if gateway["looks"] <= 0 else "PROVISIONING"
        shown = {"id": gateway["id"], "reference": gateway["wanted"]["reference"], "status": state}
        shown["region"] = gateway["wanted"]["region"]
        validate(shown, "Gateway")
        return json.loads(json.dumps(shown))  # type: ignore[no-any-return]

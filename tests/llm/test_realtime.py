"""WebSockets of models, through a gateway process."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from gateway.demo_models import DemoModels, serving
from tests.support import running_gateway

MODELS = """
providers: {one: {protocol: openai, base_url: "http://127.0.0.1:%d/v1", keys: [provider-key], models: [voice-1]}}
aliases: {voice: {one: voice-1}}
"""
ROUTES = "routes: [{path: /else, respond: 204, auth: []}]\n"
AUTH = """
schemes: {keys: {api_key: {header: X-API-Key}}}
default: [keys]
consumers: [{name: alice, keys: ["sha256:%s"]}]
"""


async def test_a_websocket_of_a_model_passes_with_the_key_exchanged(tmp_path: Path) -> None:
    """Whichever name the model goes by; what is not offered is refused before."""
    async with serving(DemoModels()) as port:
        (tmp_path / "config").mkdir()
        (tmp_path / "config" / "models.yaml").write_text(MODELS % port)
        auth = AUTH % sha256(b"client-key").hexdigest()
        with running_gateway(tmp_path, ROUTES, auth=auth) as gateway:
            url = f"ws://127.0.0.1:{gateway.port}/v1/realtime"
            protocols = [Subprotocol("realtime"), Subprotocol("openai-insecure-api-key.client-key")]
            async with connect(f"{url}?model=voice", subprotocols=protocols, proxy=None) as client:
                assert "session.created" in str(await client.recv())
                await client.send("hello")
                assert await client.recv() == "hello"
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"{url}?model=other", subprotocols=protocols, proxy=None)
            assert refused.value.response.status_code == 404
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"{url}?model=voice", proxy=None)
            assert refused.value.response.status_code == 401

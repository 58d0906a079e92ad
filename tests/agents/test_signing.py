"""Signatures of messages: what another node may write there, and what becomes of it."""

from __future__ import annotations

import json
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.agents.pilotctl import Pilotctl
from gateway.agents.signing import Signatures, signed_bytes
from gateway.agents.trust import Refusal

SAID = {"service": "user-api", "instances": []}
DIGEST = sha256(signed_bytes("service-registry", SAID)).hexdigest()


def _envelope(at: str | None = None, nonce: str = "6e6f6e6365", node: str = "000000000002") -> str:
    at = str(int(time.time())) if at is None else at
    return f"pilot-req-v1|{node}|{at}|{nonce}|{DIGEST}|acme-router"


@pytest.mark.parametrize(
    ("envelope", "signature"),
    [
        (_envelope(nonce="a\x00b"), "00ff"),
        (_envelope(nonce="\ud800"), "00ff"),
        (_envelope(nonce="n" * 300_000), "00ff"),
        (_envelope(at="9" * 400), "00ff"),
        (_envelope(at="-1"), "00ff"),
        (_envelope(node="f" * 4000), "00ff"),
        (_envelope(), "\x00"),
        (_envelope(), "\ud800"),
        (_envelope(), "--help"),
        (_envelope(), "0" * 300_000),
        (_envelope(), ""),
        (_envelope(), "00ff"),
    ],
)
async def test_what_is_no_signature_is_refused_and_does_no_harm(tmp_path: Path, envelope: str, signature: str) -> None:
    """Whatever its texts and numbers are: they come from another node, and are arguments of a command afterwards."""
    script = tmp_path / "pilotctl"
    script.write_text(f'#!{sys.executable}\nprint(\'{{"status": "ok", "data": {{"valid": false}}}}\')\n')
    script.chmod(0o755)
    signatures = Signatures(Pilotctl(str(script), "/run/pilot.sock"), "acme-router")
    payload = json.dumps({**SAID, "envelope": envelope, "signature": signature}).encode()
    bare, proof = await signatures.checked("service-registry", payload, 2)
    assert json.loads(bare) == SAID
    assert isinstance(proof, Refusal)
    assert proof.reason == "signature"

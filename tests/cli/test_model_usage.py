"""What `gateway models usage` says of requests that cost nothing, or of which nobody knows what they cost."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from gateway.cli import models
from gateway.monitor.model_traffic import SUMS

NOTHING = {name: 0 for name in SUMS if name != "cost_micros"} | {"model": "one/small", "cost_usd": "0.000000"}


@pytest.mark.parametrize(
    ("used", "hits", "cost"),
    [
        ({"requests": 2, "input_tokens": 9, "cost_usd": "0.002000"}, "0", "$0.002000"),
        ({"requests": 2, "input_tokens": 9}, "0", "$0.000000"),  # a free model
        ({"requests": 2, "input_tokens": 9, "unpriced": 2}, "0", "-"),
        ({"requests": 2, "cache_hits": 2}, "2", "$0.000000"),
        ({"requests": 1}, "0", "-"),  # a session in real time, or a picture
        ({"requests": 1, "cost_usd": "0.040000"}, "0", "$0.040000"),  # by a price for each request
    ],
)
def test_a_cost_that_nobody_knows_is_none(
    used: dict[str, object], hits: str, cost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not shown as nothing; what the cache has answered is counted, and cost nothing."""
    reserved = {"requests": 0, "tokens": 0, "usd": "0.000000"}
    answer = {"usage": [NOTHING | used], "reserved": reserved, "prices": {"warnings": []}}
    monkeypatch.setattr(models, "ask", lambda *_, **__: answer)
    head, row, _ = CliRunner().invoke(models.models, ["usage"]).output.splitlines()
    cells = dict(zip(head.split(), row.split(), strict=True))
    assert (cells["HITS"], cells["COST"]) == (hits, cost)

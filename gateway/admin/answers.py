"""Answers of the admin API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response


def json_answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON that a person may read."""
    body = orjson.dumps(content, option=orjson.OPT_INDENT_2)
    return Response(body, status, headers, media_type="application/json")


def refusal(status: int, error: str, headers: Mapping[str, str] | None = None) -> Response:
    """Why it was not done, and what to do."""
    return json_answer({"error": error}, status, headers)

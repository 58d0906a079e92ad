"""What Schemathesis cannot know: where a gateway is, so that some of those that it makes up can be registered."""

from __future__ import annotations

import os
from typing import Any

import schemathesis

CREDENTIALS = {"username": "admin", "password": "admin"}


@schemathesis.hook  # type: ignore[untyped-decorator]  # it is in another environment
def map_body(context: Any, body: Any) -> Any:
    """Half of the gateways are a real one, and half of them call by themselves."""
    operation = getattr(context, "operation", None)
    if operation is None or operation.label != "POST /api/v1/gateways" or not isinstance(body, dict):
        return body
    if isinstance(body.get("adapterConfig"), dict):
        at = {"controlPlaneUrl": os.environ["GATEWAY_URL"], "credentials": CREDENTIALS}
        return {**body, "adapterConfig": at if len(str(body)) % 2 else {"kind": "flowmaster"}}
    return body

"""The configurations that were served, in the admin API.

`GET /config/history`, `GET /config/diff?from=DIGEST&to=DIGEST`, `POST /config/rollback?to=DIGEST`
"""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from gateway.admin.answers import Refused, json_answer, loaded
from gateway.admin.operations import Operation, Parameter
from gateway.config.history import Version
from gateway.config.values.instants import format_instant
from gateway.reload import Reloader

_STILL_GOOD = (
    "the files are refused, so that they have not changed what is served: {0}, the last good configuration. "
    "If that one is to go, too, name the one before it: gateway config rollback {1}"
)
_HISTORY = "The last 20: digest, when, and what caused it (`start`, `files`, `request`, `rollback`, `control plane`)."
_ROLLBACK = (
    "Until the files change, or a reload is asked for. The files stay as they are, and so do the files and variables "
    "that they name."
)


def history_operations(reloader: Reloader) -> list[Operation]:
    """The API of the configurations that one gateway has served."""
    api = _Api(reloader)
    old, new = Parameter("from", "Digest. Unset: the one before."), Parameter("to", "Digest. Unset: the one in force.")
    to = Parameter("to", "Digest, or its beginning. Unset: the one before, unless the files are refused.")
    unknown = {404: "this configuration is not in the history"}
    refused = {**unknown, 409: "name one: the files are refused", 422: "it cannot be served any more"}
    return [
        Operation(
            "GET",
            "/config/history",
            api.history,
            "The configurations that were served, the newest first.",
            description=_HISTORY,
        ),
        Operation(
            "GET",
            "/config/diff",
            api.diff,
            "What changed, as a unified diff without secrets.",
            (old, new),
            media_type="text/plain",
            refusals=unknown,
            description="Without parameters, what changed from the one before. With `from` and `to`, between any two.",
        ),
        Operation(
            "POST",
            "/config/rollback",
            api.roll_back,
            "Serve a former configuration again.",
            (to,),
            refusals=refused,
            description=_ROLLBACK,
        ),
    ]


class _Api:
    def __init__(self, reloader: Reloader) -> None:
        self._reloader = reloader

    async def history(self, request: Request) -> Response:
        versions = [
            {
                "digest": version.digest,
                "loaded_at": format_instant(version.loaded_at),
                "cause": version.cause,
                "bytes": version.size,
            }
            for version in reversed(list(self._reloader.history))
        ]
        return json_answer({"versions": versions, "rolled_back": self._reloader.summary()["rolled_back"]})

    async def diff(self, request: Request) -> Response:
        loaded(self._reloader)
        in_force = list(self._reloader.history)[-1]
        new = self._named(request.query_params.get("to") or in_force.digest)
        old = self._named(request.query_params.get("from") or (self._other_than(new.digest) or new).digest)
        return PlainTextResponse(await asyncio.to_thread(self._reloader.difference, old, new))

    async def roll_back(self, request: Request) -> Response:
        to = request.query_params.get("to")
        version = self._named(to) if to is not None else self._before()
        serving = self._reloader.serving
        if to is None and serving is not None and self._reloader.error is not None:
            raise Refused(409, _STILL_GOOD.format(serving.digest, version.digest))
        error = await self._reloader.roll_back(version)
        if error is not None:
            return json_answer({"errors": self._reloader.shown(error)}, 422)
        return json_answer(self._reloader.report() | {"before": None if serving is None else serving.digest})

    def _before(self) -> Version:
        """The configuration that was served before the current one. Raises Refused."""
        versions = list(self._reloader.history)
        version = self._other_than(versions[-1].digest) if versions else None
        if version is None:
            raise Refused(404, "there is no former configuration: no other one has been served")
        return version

    def _other_than(self, digest: str) -> Version | None:
        """The last that is another one."""
        others = (version for version in reversed(list(self._reloader.history)) if version.digest != digest)
        return next(others, None)

    def _named(self, digest: str) -> Version:
        """Raises Refused."""
        version = self._reloader.history.find(digest)
        if version is None:
            message = f"no configuration {digest[:40]!r} in the history; GET /config/history lists their digests"
            raise Refused(404, message)
        return version

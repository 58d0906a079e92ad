"""The cache in the admin API: `GET /cache`, `DELETE /cache?all=true`, or by `route`, `host`, `path`, `prefix`."""

from __future__ import annotations

import logging
from typing import Final

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.answers import Refused, json_answer
from gateway.admin.operations import Operation, Parameter
from gateway.cache.cache import Cache
from gateway.cache.store import Purge
from gateway.plurals import counted
from gateway.reload import Reloader

logger = logging.getLogger("gateway.cache")

_WHAT: Final = ("route", "host", "path", "prefix")
_THIS: Final = "this process: others have a cache of their own, purge each (cache: {store: redis} has one for all)"
_ALL: Final = "all gateways of this Redis"
_REMEDY: Final = "say what to remove: all=true, or route=ID, host=NAME, path=/v1/users (with every query), prefix=/v1/"


def cache_operations(reloader: Reloader) -> list[Operation]:
    """Operations on live caches."""
    api = _Api(reloader)
    meant = (
        Parameter("all", "`true`: everything. Alone, or else one or more of the others."),
        Parameter("route", "What this route has stored."),
        Parameter("host", "Responses of this host."),
        Parameter("path", "This path, with every query, or with the one it has."),
        Parameter("prefix", "Every path that begins so."),
    )
    refusals = {400: "it does not say what to remove", 404: "no route has a cache", 503: "Redis does not answer"}
    return [
        Operation("GET", "/cache", api.shown, "Contents of the response cache, and results of requests."),
        Operation("DELETE", "/cache", api.purge, "Remove stored responses.", meant, refusals=refusals),
    ]


class _Api:
    def __init__(self, reloader: Reloader) -> None:
        self._reloader = reloader

    async def shown(self, request: Request) -> Response:
        measures = [cache.measures() for cache in self._reloader.owner.all(Cache)]
        named = [{name.removeprefix("gateway_cache_"): value for name, value in each.items()} for each in measures]
        return json_answer(named)

    async def purge(self, request: Request) -> Response:
        caches = list(self._reloader.owner.all(Cache))
        if not caches:
            raise Refused(404, "no route has a cache: see cache in middleware.yaml, and in routes.yaml")
        purge = self._meant(request.query_params)
        purged = 0
        for cache in caches:
            found = await cache.purge(purge)
            if found is None:
                raise Refused(503, "Redis does not answer; its stored responses are still used, try again")
            purged += found
        logger.warning("purged: %s, by %s", counted(purged, "response"), request.url.query)
        reached = _THIS if any(cache.store.local for cache in caches) else _ALL
        return json_answer({"purged": purged, "reached": reached})

    def _meant(self, parameters: QueryParams) -> Purge:
        given = dict(parameters)
        unknown = given.keys() - {*_WHAT, "all"}
        if unknown or len(parameters.multi_items()) > len(given):
            raise Refused(400, f"each parameter once, and no other; {_REMEDY}")
        if given.pop("all", None) is not None:
            if given or parameters["all"] != "true":
                raise Refused(400, f"all=true allows no other parameter; {_REMEDY}")
            return Purge()
        if not given or not all(given.values()):
            raise Refused(400, _REMEDY)
        if "route" in given and given["route"] not in self._route_ids():
            raise Refused(400, f"unknown route {given['route']}; GET /routes lists them")
        return Purge(**given)

    def _route_ids(self) -> set[str]:
        snapshot = self._reloader.current
        return {handler.route.id for handler in snapshot.handlers} if snapshot is not None else set()

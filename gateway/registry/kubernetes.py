"""The endpoints of a service in Kubernetes: its EndpointSlices are listed in pages, and then watched.

Where a watch begins moves only by what watches delivered: events and bookmarks. A revision that has expired (410, as
the status of an answer or as an event) leads to another list. A watch that says nothing is opened anew, though it looks
healthy: something between may have cut it. Every ten minutes a list is compared with what the watch has said.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

from gateway.outside.http_client import HTTP_ERRORS
from gateway.plurals import counted
from gateway.registry.asking import client_of, first_of, lines_of
from gateway.registry.endpoint_slices import Slice, instances_of
from gateway.registry.kubernetes_api import ANSWER_SECONDS, Access, Api, ExpiredError, parse_event, parse_page
from gateway.registry.parsing import parsed
from gateway.registry.source import Instances, Sink, SourceLost

LIST_SECONDS: Final = 60.0  # for all pages of a list
SILENCE_SECONDS: Final = 90.0  # of a watch, which has a bookmark every minute
COMPARE_SECONDS: Final = 600.0  # between two lists that are compared with the watch
GRACE_SECONDS: Final = 2.0  # in which the watch must deliver what a list has
SHORT_SECONDS: Final = 1.0  # a watch that ends sooner is no reason to open the next one at once

# While JSON is read, nothing else runs, neither on the loop nor on another thread: so pages are small.
FIRST_LIMIT: Final = 5  # slices of up to a hundred endpoints each, unless the cluster is set up otherwise
LARGEST_LIMIT: Final = 500
PAGE_BYTES: Final = 128 * 1024  # that the next page should have


class KubernetesSource:
    """One port of one service, by its number or name; None: the only one that it has."""

    def __init__(
        self,
        namespace: str,
        service: str,
        port: int | str | None,
        access: Access,
        *,
        silence: float = SILENCE_SECONDS,
        compare: float = COMPARE_SECONDS,
        grace: float = GRACE_SECONDS,
    ) -> None:
        self.place = f"Kubernetes {namespace}/{service}"
        self._namespace = namespace
        self._service = service
        self._port = port
        self._access = access
        self._silence = silence
        self._compare = compare
        self._grace = grace
        self._slices: dict[str, Slice] = {}
        self._deleted: set[str] = set()  # since the last list that is compared was asked for
        self._revision = ""

    async def watch(self, sink: Sink) -> None:
        """See `Source`."""
        async with client_of(ANSWER_SECONDS, self._access.ca, "the API server") as client:
            api = Api(client, self._access, self._namespace, self._service)
            await api.choose_version()
            while True:
                listed_at = time.perf_counter()
                self._revision, self._slices = await self._listed(api)
                self._deliver(sink, listed_at)
                await first_of(self._follow(api, sink, listed_at), self._check(api, sink))

    def _deliver(self, sink: Sink, happened: float) -> None:
        slices = self._slices.values()
        if slices and not any(each.fits for each in slices):
            ports = ", ".join(sorted({port for each in slices for port in each.ports}))[:200]
            wanted = "several ports" if self._port is None else f"no port {self._port}"
            raise SourceLost(f"the service has {wanted}; set port to one of its ports: {ports or 'there are none'}")
        sink.deliver(Instances(instances_of(slices), self._revision, happened))

    async def _listed(self, api: Api) -> tuple[str, dict[str, Slice]]:
        """The revision to watch from, and the slices by name.

        A list that expires between two pages goes on with a later revision; what lies between is sent again by the
        watch, which begins at that of the first page. Raises SourceLost, one of HTTP_ERRORS, or TooLargeError.
        """
        slices: dict[str, Slice] = {}
        revision, limit, go_on = "", FIRST_LIMIT, ""
        async with asyncio.timeout(LIST_SECONDS):
            while True:
                try:
                    body = await api.page(limit, go_on)
                except ExpiredError as expired:
                    if not expired.go_on or expired.go_on == go_on:
                        raise SourceLost("the API server forgets a list before all of it was read") from None
                    go_on = expired.go_on
                    continue
                page = await parsed("kubernetes-json", partial(parse_page, body, self._port), len(body))
                revision, go_on = revision or page.revision, page.go_on
                slices |= page.slices
                if not go_on:
                    return revision, slices
                limit = min(LARGEST_LIMIT, max(1, limit * PAGE_BYTES // len(body)))

    async def _check(self, api: Api, sink: Sink) -> None:
        """Compare with a list now and then. Returns where the watch has missed a change."""
        while True:
            await asyncio.sleep(self._compare)
            self._deleted.clear()
            revision, listed = await self._listed(api)
            await asyncio.sleep(self._grace)
            missed = [name for name, each in listed.items() if name not in self._deleted and self._is_older(name, each)]
            missed += [name for name in self._slices.keys() - listed if self._slices[name].revision <= int(revision)]
            if missed:
                sink.fault(f"its watch has missed {counted(len(missed), 'change')}; all slices are listed again")
                return

    def _is_older(self, name: str, listed: Slice) -> bool:
        known = self._slices.get(name)
        return known is None or known.revision < listed.revision

    async def _follow(self, api: Api, sink: Sink, listed_at: float) -> None:
        """Use what watches say, one after the other. Returns where all has to be listed again."""
        loop = asyncio.get_running_loop()
        while True:
            began, heard = loop.time(), False
            try:
                async with asyncio.timeout(self._silence) as patience, api.watch(self._revision) as pieces:
                    async for lines in lines_of(pieces):
                        happened, heard = time.perf_counter(), True
                        patience.reschedule(loop.time() + self._silence)
                        await self._take(lines, sink, happened)
            except ExpiredError:
                if time.perf_counter() - listed_at < SHORT_SECONDS:
                    raise SourceLost("the API server expires the revision that it has just listed") from None
                return
            except TimeoutError:
                sink.fault(f"its watch was silent for {self._silence:g} s, and is opened anew")
            except HTTP_ERRORS:
                if loop.time() - began < SHORT_SECONDS:
                    raise
            else:
                if not heard and loop.time() - began < SHORT_SECONDS:
                    raise SourceLost("the API server closes a watch at once")
            await asyncio.sleep(began + SHORT_SECONDS - loop.time())

    async def _take(self, lines: Sequence[bytes], sink: Sink, happened: float) -> None:
        """Take messages of a watch. Raises ExpiredError, SourceLost."""
        changed = False
        for line in lines:
            event = await parsed("kubernetes-json", partial(parse_event, line, self._port), len(line))
            self._revision = event.revision
            if event.slice is not None:
                self._slices[event.name] = event.slice
            elif event.name:
                self._slices.pop(event.name, None)
                self._deleted.add(event.name)
            changed = changed or bool(event.name)
        if changed:
            self._deliver(sink, happened)
        elif lines:
            sink.alive()

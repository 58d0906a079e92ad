"""Instances in Kubernetes, as recorded API servers say them."""

from __future__ import annotations

import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from gateway.registry.kubernetes import KubernetesSource
from gateway.registry.kubernetes_api import Access
from tests.registry.api_server import (
    CUT,
    VERSIONS,
    ApiServer,
    api_server,
    event,
    listing,
    recorded,
    recorded_messages,
    slice_of,
    status,
)
from tests.registry.support import Heard, listening, shows
from tests.support import eventually, running_gateway
from tests.upstream.test_service import named_backends

ONE, TWO, THREE, FOUR = (f"10.0.0.{number}:8080" for number in range(1, 5))


def heard(server: ApiServer, *, token: Path | None = None, **times: float) -> AbstractAsyncContextManager[Heard]:
    """What the source says of the service `web`."""
    access = Access(server.url, token)
    return listening(KubernetesSource("default", "web", "http", access, **times))


def bookmark(revision: int) -> bytes:
    return event("BOOKMARK", {"metadata": {"resourceVersion": str(revision)}, "endpoints": None, "ports": None})


@pytest.mark.parametrize("version", VERSIONS)
async def test_recorded_traffic(version: str) -> None:
    """Slices come, change, are emptied and go; the same endpoint is in two of them for a moment."""
    added, moved, deleted, emptied, *rest = recorded_messages(version, "watch")
    async with api_server(recorded(version, "list"), version=version) as server, heard(server) as said:
        await said.has(ONE, THREE)
        server.say(added)
        await said.has(ONE, THREE, FOUR)
        server.say(moved, deleted)
        await said.has(*([ONE, THREE, FOUR] if version == "1.20" else [ONE, FOUR]))
        server.say(emptied)
        await said.has(*([THREE] if version == "1.20" else []))
        server.say(*rest, CUT)
        await eventually(lambda: len(server.watches) == 2)
        assert server.watches == [recorded(version, "list")["metadata"]["resourceVersion"], _last_revision(version)]
        assert not said.faults + said.lost
        path = server.asked[1][0]
        assert path == f"/apis/discovery.k8s.io/{_api(version)}/namespaces/default/endpointslices"
        assert server.asked[1][1]["labelSelector"] == "kubernetes.io/service-name=web"


def _api(version: str) -> str:
    return "v1beta1" if version == "1.20" else "v1"


def _last_revision(version: str) -> str:
    return "246" if version == "1.20" else "237"


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_list_in_pages(version: str) -> None:
    """All pages of a list are one set."""
    pages = [
        recorded(version, "list-page1"),
        recorded(version, "list-page2"),
        listing(239, slice_of("p-6", 1, "10.1.0.6")),
    ]
    async with api_server(*pages, version=version) as server, heard(server) as said:
        await said.has(*(f"10.1.0.{number}:8080" for number in range(7)))
        asked = [parameters.get("continue") for _, parameters, _ in server.asked if "limit" in parameters]
        assert asked == [None, *(page["metadata"]["continue"] for page in pages[:2])]


async def test_a_list_that_expires_between_two_pages_goes_on() -> None:
    """With the token in the 410; what changed meanwhile is sent by a watch from the revision of the first page."""
    pages = (
        listing(5, slice_of("a", 1, "10.0.0.1"), go_on="old"),
        status(410, **{"continue": "new"}),
        listing(9, slice_of("b", 2, "10.0.0.2")),
    )
    async with api_server(*pages) as server, heard(server) as said:
        await said.has(ONE, TWO)
        await eventually(lambda: server.watches == ["5"])
        assert [parameters.get("continue") for _, parameters, _ in server.asked[1:4]] == [None, "old", "new"]


async def test_a_watch_from_a_revision_that_is_gone() -> None:
    """The 410 is a message of the watch, with status 200: all is listed again, and the difference used."""
    lists = (listing(1, slice_of("a", 1, "10.0.0.1")), listing(220, slice_of("b", 219, "10.0.0.2")))
    async with api_server(*lists) as server, heard(server) as said:
        await said.has(ONE)
        server.say(bookmark(2), CUT, *recorded_messages("1.20", "watch-too-old"))
        await said.has(TWO)
        await eventually(lambda: server.watches == ["1", "2", "220"])
        assert not said.lost
        server.say(*recorded_messages("1.20", "watch-too-old"))  # at once, which would go on for ever
        await said.is_lost("expires the revision that it has just listed")


async def test_the_revision_moves_by_what_the_watch_said() -> None:
    """A watch that ends is opened again from its last event or bookmark, and nothing is listed again."""
    async with api_server(listing(5, slice_of("a", 1, "10.0.0.1"))) as server, heard(server) as said:
        await said.has(ONE)
        server.say(event("ADDED", slice_of("b", 6, "10.0.0.2")), CUT)
        await said.has(ONE, TWO)
        await eventually(lambda: len(server.watches) == 2)
        server.say(bookmark(8), CUT)
        await eventually(lambda: len(server.watches) == 3)
        assert (server.watches, said.lost) == (["5", "6", "8"], [])


async def test_a_silent_watch_is_opened_anew() -> None:
    """Something between has cut it, and nothing would come any more."""
    async with api_server(listing(5, slice_of("a", 1, "10.0.0.1"))) as server, heard(server, silence=0.3) as said:
        await said.has(ONE)
        await eventually(lambda: server.watches[:2] == ["5", "5"])
        assert "was silent for 0.3 s" in said.faults[0]
        assert not said.lost


async def test_a_watch_that_misses_a_change_is_found_out() -> None:
    """Lists are compared with it now and then; what differs is counted, and all is listed again."""
    before, after = slice_of("a", 1, "10.0.0.1"), slice_of("a", 7, "10.0.0.2")
    lists = (listing(5, before, slice_of("b", 2, "10.0.0.3")), listing(8, after))
    async with api_server(*lists) as server, heard(server, compare=0.2, grace=0.1) as said:
        await said.has(TWO)
        assert said.faults == ["its watch has missed 2 changes; all slices are listed again"]
        assert not said.lost


async def test_a_watch_that_is_only_late_misses_nothing() -> None:
    """What it says before the comparison is over counts."""
    lists = (listing(5, slice_of("a", 1, "10.0.0.1")), listing(8, slice_of("a", 7, "10.0.0.2")))
    async with api_server(*lists) as server, heard(server, compare=0.2, grace=3.0) as said:
        await eventually(lambda: len(server.asked) == 4)  # the group, a list, a watch, a list
        server.say(event("MODIFIED", slice_of("a", 7, "10.0.0.2")))
        await said.has(TWO)
        await eventually(lambda: len(server.asked) == 5)
        assert not said.faults


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("unauthorized", "401: Unauthorized; it does not accept the token in"),
        ("forbidden", 'Role in namespace default with {apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"]'),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_refusal_says_what_helps(version: str, name: str, remedy: str, tmp_path: Path) -> None:
    """A token that is not accepted is read again; one without the right needs a Role."""
    refused = recorded(version, name)
    answers = ((refused["status"], refused["body"]), recorded(version, "list"))
    token = tmp_path / "token"
    token.write_text("first\n")
    async with api_server(*answers, version=version) as server, heard(server, token=token) as said:
        await said.is_lost(remedy)
        await said.has(ONE, THREE)
        assert server.asked[0][2] == "bearer first"


@pytest.mark.parametrize("kind", ["/dev/zero", "pipe"])
async def test_a_token_is_no_endless_file(tmp_path: Path, kind: str) -> None:
    """What never ends, or waits for a writer, is reported as what it is, and is not read."""
    token = tmp_path / "token"
    if kind == "pipe":
        os.mkfifo(token)
    else:
        token.symlink_to(kind)
    async with api_server() as server, heard(server, token=token) as said:
        await said.is_lost("it is not a regular file")


async def test_a_token_that_has_changed_is_used(tmp_path: Path) -> None:
    """At the latest when the old one is not accepted any more."""
    token = tmp_path / "token"
    token.write_text("first")
    answers = (status(401), listing(5, slice_of("a", 1, "10.0.0.1")))
    async with api_server(*answers) as server, heard(server, token=token) as said:
        await said.is_lost("401")
        token.write_text("second")
        await said.has(ONE)
        await eventually(lambda: server.asked[-1][2] == "bearer second")


async def test_a_port_that_the_service_has_not() -> None:
    """The ports that it has are named, and the instances that were known stay."""
    ports = [{"name": "web", "port": 8080}, {"name": "admin", "port": 9090}]
    changed = slice_of("a", 6, "10.0.0.1", ports=ports)
    async with (
        api_server(listing(5, slice_of("a", 1, "10.0.0.1")), listing(7, changed)) as server,
        heard(server) as said,
    ):
        await said.has(ONE)
        server.say(event("MODIFIED", changed))
        await said.is_lost("no port http; set port to one of its ports: admin (9090), web (8080)")
        assert said.addresses == [ONE]


async def test_outside_of_a_cluster_the_url_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found in a pod only."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    async with listening(KubernetesSource("default", "web", None, Access())) as said:
        await said.is_lost("elsewhere set kubernetes.url")


async def test_a_gateway_asks_pods_by_the_name_of_their_service(tmp_path: Path) -> None:
    """The sample of the documentation serves what the API server lists."""
    async with named_backends("one") as (port,):
        ports = [{"name": "http", "port": port}]
        async with api_server(listing(5, slice_of("a", 1, "127.0.0.1", ports=ports))) as server:
            of = f"{{namespace: shop, service: carts, port: http, url: '{server.url}'}}"
            # The server answers when the gateway has started: it is on the loop that waits for that.
            routes = f"""
            services:
              carts: {{discovery: {{kubernetes: {of}, first_answer: 0}}}}
            routes: [{{path: /x, target: carts}}]
            """
            with running_gateway(tmp_path, routes) as gateway:
                await shows(f"{gateway.url}/x", "one")

"""The EndpointSlices of one service, as the API server of Kubernetes has them: pages of a list, and watches."""

from __future__ import annotations

import os
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx2
import orjson

from gateway.config.regular_files import read_secret
from gateway.live import on_thread
from gateway.outside.http_client import whole_body
from gateway.registry.asking import UNREADABLE
from gateway.registry.endpoint_slices import Slice, parse_slice
from gateway.registry.source import SourceLost

ANSWER_SECONDS: Final = 10.0  # for each step of a call
WATCH_SECONDS: Final = 300.0  # that a watch is asked to last; by chance up to a fifth more
TOKEN_SECONDS: Final = 60.0  # until a token is read again
MAX_BODY: Final = 32 * 1024**2
EXPIRED: Final = 410


@dataclass(frozen=True, slots=True)
class Access:
    """How the API server is asked."""

    url: str | None = None  # None: as in a pod, by KUBERNETES_SERVICE_HOST
    token: Path | None = None  # a file, which Kubernetes writes anew before the token in it ends
    ca: Path | None = None


class ExpiredError(Exception):
    """The requested revision has expired (410). `go_on`: the token to continue a list with."""

    def __init__(self, go_on: str = "") -> None:
        super().__init__(go_on)
        self.go_on = go_on


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list."""

    revision: str
    go_on: str  # what the next page is asked for by; empty where this is the last one
    slices: Mapping[str, Slice]


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a watch."""

    revision: str
    name: str = ""  # of the slice; empty in a bookmark
    slice: Slice | None = None  # None: it was deleted


class Api:
    """One API server, asked for the slices of one service."""

    def __init__(self, client: httpx2.AsyncClient, access: Access, namespace: str, service: str) -> None:
        """Raises SourceLost where it is not known where the API server is."""
        self._client = client
        self._url = (access.url or _url_in_cluster(os.environ)).rstrip("/")
        self._token_file = access.token
        self._token = ""
        self._token_read = float("-inf")
        self._version = "v1"
        self._namespace = namespace
        self._selector = {"labelSelector": f"kubernetes.io/service-name={service}"}

    async def choose_version(self) -> None:
        """v1 where the server has it (since Kubernetes 1.21), otherwise v1beta1. Raises as `page` does."""
        status, body = await self._get("/apis/discovery.k8s.io", {})
        if status == 403:  # everyone may read this, unless that was changed
            return
        self._accept(status, body)
        versions = {str(each.get("version")) for each in _parsed(body).get("versions") or ()}
        if "v1" not in versions and "v1beta1" in versions:
            self._version = "v1beta1"

    async def page(self, limit: int, go_on: str) -> bytes:
        """A page of the list. Raises ExpiredError, SourceLost, one of HTTP_ERRORS, or TooLargeError."""
        parameters = {**self._selector, "limit": str(limit)} | ({"continue": go_on} if go_on else {})
        status, body = await self._get(self._path, parameters)
        if status == EXPIRED:
            raise ExpiredError(str((_parsed(body).get("metadata") or {}).get("continue") or ""))
        self._accept(status, body)
        return body

    @asynccontextmanager
    async def watch(self, revision: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """The events of a watch, in pieces. Raises as `page` does."""
        parameters = {
            **self._selector,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": revision,
            "timeoutSeconds": str(int(WATCH_SECONDS * random.uniform(1.0, 1.2))),
        }
        endless = httpx2.Timeout(ANSWER_SECONDS, read=None)
        url, headers = self._url + self._path, await self._headers()
        async with self._client.stream("GET", url, params=parameters, headers=headers, timeout=endless) as response:
            if response.status_code == EXPIRED:
                raise ExpiredError
            if response.status_code != 200:
                self._accept(response.status_code, await whole_body(response, MAX_BODY))
            yield response.aiter_raw()

    @property
    def _path(self) -> str:
        return f"/apis/discovery.k8s.io/{self._version}/namespaces/{self._namespace}/endpointslices"

    async def _get(self, path: str, parameters: Mapping[str, str]) -> tuple[int, bytes]:
        url, headers = self._url + path, await self._headers()
        async with self._client.stream("GET", url, params=parameters, headers=headers) as response:
            return response.status_code, await whole_body(response, MAX_BODY)

    async def _headers(self) -> dict[str, str]:
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        if self._token_file is None:
            return headers
        now = time.perf_counter()
        if now - self._token_read > TOKEN_SECONDS:
            try:
                text = await on_thread("kubernetes-token", partial(read_secret, self._token_file), ANSWER_SECONDS)
            except (OSError, ValueError) as error:
                raise SourceLost(f"the token in {self._token_file} cannot be read: {error}") from None
            self._token, self._token_read = text.strip(), now
        return headers | {"authorization": f"Bearer {self._token}"}

    def _accept(self, status: int, body: bytes) -> None:
        """Raises SourceLost where a call was refused, with what helps."""
        if status == 200:
            return
        try:
            said = str(_parsed(body).get("message") or "")[:300]
        except SourceLost:
            said = ""
        raise SourceLost(f"the API server answers {status}{': ' if said else ''}{said}{self._remedy(status)}")

    def _remedy(self, status: int) -> str:
        if status == 401:
            return f"; it does not accept the token in {self._token_file}" if self._token_file else "; set token_file"
        if status == 403:
            rule = '{apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: ["get", "list", "watch"]}'
            return f"; bind the gateway's service account to a Role in namespace {self._namespace} with {rule}"
        return "; EndpointSlices came with Kubernetes 1.17" if status == 404 else ""


def _url_in_cluster(environment: Mapping[str, str]) -> str:
    """Raises SourceLost."""
    host = environment.get("KUBERNETES_SERVICE_HOST")
    if not host:
        raise SourceLost("KUBERNETES_SERVICE_HOST is not set, as it is in a pod; elsewhere set kubernetes.url")
    return f"https://{f'[{host}]' if ':' in host else host}:{environment.get('KUBERNETES_SERVICE_PORT', '443')}"


def _parsed(body: bytes) -> dict[str, Any]:
    """Raises SourceLost."""
    try:
        answer = orjson.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise SourceLost("the answer is not a JSON object; is this the URL of an API server?")
    return answer


def parse_page(body: bytes, port: int | str | None) -> Page:
    """A page of a list. Raises SourceLost."""
    answer = _parsed(body)
    try:
        slices = {str(each["metadata"]["name"]): parse_slice(each, port) for each in answer.get("items") or ()}
        of_list = answer["metadata"]
        return Page(str(int(of_list["resourceVersion"])), str(of_list.get("continue") or ""), slices)
    except UNREADABLE as error:
        raise SourceLost(f"the API server lists what cannot be read: {error!r}") from error


def parse_event(line: bytes, port: int | str | None) -> Event:
    """A message of a watch. Raises ExpiredError, SourceLost."""
    message = _parsed(line)
    try:
        kind, what = message["type"], message["object"]
        if kind == "ERROR":
            if what.get("code") == EXPIRED:
                raise ExpiredError
            raise SourceLost(f"the API server ends the watch: {str(what.get('message'))[:300]} ({what.get('code')})")
        revision = str(what["metadata"]["resourceVersion"])
        if kind == "BOOKMARK":
            return Event(revision)
        return Event(revision, str(what["metadata"]["name"]), None if kind == "DELETED" else parse_slice(what, port))
    except UNREADABLE as error:
        raise SourceLost(f"the API server says what cannot be read: {error!r}") from error

"""Answers of models that are used again for exactly the same request of the same caller.

They are in the store of the gateway's cache, in memory or in Redis, beside responses of HTTP. What one caller was
answered no other one gets: the caller is a part of the key. Nothing is kept of requests with tools, nor of those that
the provider is to store, nor of answers that are not whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from gateway.algorithms.http_cache.directives import cache_control
from gateway.algorithms.http_cache.terms import Terms
from gateway.cache.cache import Cache
from gateway.cache.store import Key, Stored
from gateway.errors import GatewayError
from gateway.http import Exchange, Headers, Response
from gateway.http.bodies import Body
from gateway.llm.choosing import Choice, Keeping
from gateway.llm.going import Going
from gateway.llm.metering import Counted
from gateway.llm.replay import as_stream
from gateway.llm.usage import members

MOST_REQUEST: Final = 1024 * 1024
"""Bytes of a request whose answer is kept."""

_APIS: Final = frozenset(
    {
        "anthropic.messages",
        "gemini.embed",
        "gemini.generate",
        "openai.chat",
        "openai.completions",
        "openai.embeddings",
        "openai.moderations",
        "openai.responses",
    }
)
_NEVER: Final = ("tools", "functions", "tool_choice", "mcp_servers", "container", "store", "background", "conversation")
_REFERS: Final = ("previous_response_id", "cachedContent", "cached_content", "web_search_options", "toolConfig")
_HOW: Final = frozenset({"stream", "stream_options"})
_HEADERS: Final = (b"anthropic-version", b"anthropic-beta", b"openai-beta")
_KEPT: Final = frozenset({b"content-type"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """The cache look-up of one request."""

    key: Key
    whole: Key | None  # of the same request without a stream
    keeping: Keeping
    began: float  # by the clock of the store
    may_use: bool  # the client does not want a fresh one


class AnswerCache:
    """The answers of all models of one configuration."""

    def __init__(self, cache: Cache, revision: str) -> None:
        """`revision`: digest of the configuration."""
        self._cache = cache
        self._revision = revision

    def wanted(self, going: Going, choice: Choice) -> Wanted | None:
        """The look-up; None if no answer may be stored."""
        keeping, exchange = choice.profile.keeping, going.exchange
        said = cache_control(exchange.headers)
        if keeping is None or b"no-store" in said or not _may_be_kept(going):
            return None
        body = _canonical(going.request.body)
        if body is None:
            return None
        request = going.request
        parts = [
            *_owner(exchange, by_tenant=keeping.by_tenant),
            request.api.name,
            going.call.path,
            exchange.query.decode("latin-1"),
            choice.profile.name,
            sorted((candidate.provider, candidate.model) for candidate in choice.candidates),
            [exchange.fields.get(name, b"").decode("latin-1") for name in _HEADERS],
            choice.profile.most_output,
            self._revision if choice.profile.guards else "",
            hashlib.sha256(body).hexdigest(),
        ]
        key = _key(exchange, parts, [request.stream, request.document.get("stream_options")])
        whole = _key(exchange, parts, [False, None]) if request.stream and _replayable(choice) else None
        return Wanted(key, whole, keeping, self._cache.store.now(), b"no-cache" not in said)

    async def found(self, going: Going, wanted: Wanted) -> Response | None:
        """The answer that is kept, with nothing to pay for it."""
        if not wanted.may_use:
            return None
        store = self._cache.store
        stored = await store.find(wanted.key, _no_variant)
        if stored is None and wanted.whole is not None:
            stored = _streamed(going, await store.find(wanted.whole, _no_variant))
        if stored is None:
            self._cache.counts.misses += 1
            return None
        self._cache.counts.hits += 1
        going.exchange.cache = "hit"
        record, notes = going.record, dict(stored.headers)
        record.provider, record.model, record.backend, record.answered = (
            notes.get(name, b"").decode("utf-8", "replace")
            for name in (b"x-provider", b"x-model", b"x-backend", b"x-answered")
        )
        record.finished = True
        lines: Headers = [line for line in stored.headers if line[0] in _KEPT]
        lines.append((b"content-length", b"%d" % len(stored.body)))
        age = b"%d" % max(0, int(stored.age(store.now())))
        lines += [(b"x-gateway-cache", b"hit"), (b"age", age), (b"cache-control", b"no-store")]
        return Response(200, lines, stored.body)

    async def kept(self, going: Going, wanted: Wanted, response: Response) -> Response:
        """An answer on its way to the client, which is kept when it is whole."""
        going.exchange.cache = "miss"
        response.headers.append((b"x-gateway-cache", b"miss"))
        if response.status != 200 or not going.record.from_provider or response.session is not None:
            return response
        body = response.body
        if not isinstance(body, bytes):
            response.body = _Recorded(self, going, wanted, response.headers, body)
            return response
        await self.keep(going, wanted, response.headers, body)
        return response

    async def keep(self, going: Going, wanted: Wanted, headers: Headers, body: bytes) -> None:
        """Keep an answer, if it is whole and not too long."""
        answer, record = going.meter.answer, going.record
        if answer is None or record.failure or len(body) > wanted.keeping.most or not _is_whole(going, answer):
            return
        if any(name == b"content-encoding" for name, _ in headers):
            return
        notes = (
            (b"x-provider", record.provider),
            (b"x-model", record.model),
            (b"x-backend", record.backend),
            (b"x-answered", answer.model),
        )
        lines = [line for line in headers if line[0] in _KEPT]
        lines += [(name, value.encode("utf-8", "replace")) for name, value in notes]
        ttl = wanted.keeping.ttl
        terms = Terms("", ttl, False, False, False, None, None, for_all=True, has_validator=False)
        stored = Stored(200, tuple(lines), body, 0.0, self._cache.store.now(), (), b"", terms)
        await self._cache.keep(wanted.key, stored, wanted.began, ttl)


class _Recorded:
    """A stream on its way to the client, and into the cache when it was whole. A Body."""

    def __init__(self, cache: AnswerCache, going: Going, wanted: Wanted, headers: Headers, body: Body) -> None:
        self._cache = cache
        self._going = going
        self._wanted = wanted
        self._headers = list(headers)
        self._body = body
        self._pieces: list[bytes] | None = []  # None: it is too long
        self._size = 0

    @property
    def trailers(self) -> Headers:
        return self._body.trailers

    @property
    def ready(self) -> bool:
        return self._body.ready

    async def read(self) -> bytes:
        try:
            piece = await self._body.read()
        except GatewayError:
            self._pieces = None
            raise
        if self._pieces is None:
            return piece
        if not piece:
            pieces, self._pieces = self._pieces, None
            await self._cache.keep(self._going, self._wanted, self._headers, b"".join(pieces))
            return piece
        self._size += len(piece)
        if self._size > self._wanted.keeping.most:
            self._pieces = None
        else:
            self._pieces.append(piece)
        return piece

    def close(self) -> None:
        self._pieces = None
        self._body.close()


def _is_whole(going: Going, answer: Counted) -> bool:
    """Whether this is all that the model had to say. What a budget has cut short is not."""
    usage, most = answer.usage, going.output_limit
    cut = most is not None and (usage is None or usage.output >= most)
    return answer.finished and answer.error is None and not answer.tool_calls and not cut


def _replayable(choice: Choice) -> bool:
    """Whether whatever looks at streams has looked at a whole answer, too."""
    return all("output" in guard.on for guard in choice.profile.guards if "stream" in guard.on)


def _key(exchange: Exchange, parts: list[Any], stream: list[Any]) -> Key:
    name = hashlib.sha256(orjson.dumps([parts, stream])).hexdigest()
    return Key(f"models {name}", f"{exchange.route or ''} models")


def _streamed(going: Going, stored: Stored | None) -> Stored | None:
    """A whole answer as the stream that is asked for; None where that cannot be."""
    if stored is None:
        return None
    usage = members(going.request.document.get("stream_options")).get("include_usage") is True
    body = as_stream(going.request.api.name, stored.body, usage=usage)
    if body is None:
        return None
    kind = (b"content-type", b"text/event-stream; charset=utf-8")
    lines = tuple(line for line in stored.headers if line[0] != kind[0])
    return replace(stored, headers=(*lines, kind), body=body)


def _no_variant(vary: tuple[bytes, ...]) -> bytes:
    return b""


def _owner(exchange: Exchange, *, by_tenant: bool) -> list[str]:
    """Whose answers these are. Unauthenticated callers share one partition."""
    identity = exchange.identity
    if identity is None:
        return ["anonymous", ""]
    if by_tenant and identity.tenant:
        return ["tenant", identity.tenant]
    return ["consumer", identity.tenant or "", identity.consumer, identity.scheme]


def _may_be_kept(going: Going) -> bool:
    """Whether a request is answered by nothing but what it says, and leaves nothing behind."""
    request = going.request
    document = request.document
    if request.api.name not in _APIS or going.upload is not None or not document or request.tools:
        return False
    if len(request.body) > MOST_REQUEST or any(document.get(name) for name in (*_NEVER, *_REFERS)):
        return False
    return request.api.name != "openai.responses" or document.get("store") is False  # which it is otherwise


def _canonical(body: bytes) -> bytes | None:
    """The body without what makes no other answer: spaces, and the order of members. None if a name is duplicated,
    of which it is unknown which one a provider reads."""
    try:
        document = json.loads(body, object_pairs_hook=_once)
        document = {name: value for name, value in document.items() if name not in _HOW}
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    except (ValueError, TypeError, RecursionError):
        return None


def _once(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name is duplicated")
    return members

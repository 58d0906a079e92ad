"""Files, batches and conversations stay with who issued them, and are for who got them.

A client gets their ids sealed, as `affinity.Seal` does it: they say, encrypted, which provider and key issued them, and
are valid only for the tenant (or the consumer without one) that got them. So they hold over a restart, and in every
replica with the same secret. Ids that a provider writes elsewhere (of containers, in citations) pass as they are, and
are remembered by this process.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.errors import ErrorKind
from gateway.http import Exchange
from gateway.llm.affinity import LONGEST, NotOurs, Origin, Seal
from gateway.llm.apis import CONVERSATIONS, MESSAGE_BATCH, MESSAGE_BATCHES, RESPONSE_TOKENS, RESPONSES, Call
from gateway.llm.origins import Origins
from gateway.llm.request import BadBody, ModelRequest
from gateway.llm.speaking import ModelError, NotKnown
from gateway.llm.streams.reader import document_of
from gateway.llm.usage import members

_TOKEN: Final = r"[a-z]{0,16}[-_]gw1_[A-Za-z0-9_-]{40,2048}"
_SHOWN: Final = re.compile(r"[a-z]{0,16}[-_]gw1_([A-Za-z0-9_-]{40,2048})")
_IN_BODY: Final = re.compile(rb'"(?!resp_)(%b)"' % _TOKEN.encode())
_IN_QUERY: Final = re.compile(rb"(?<==)(%b)(?=&|$)" % _TOKEN.encode())
_STRING: Final = re.compile(rb'"([A-Za-z0-9_-]{1,512})"')
_RESULTS: Final = re.compile(
    rb'("results_url"\s*:\s*")[^"\\]{0,2048}/messages/batches/([A-Za-z0-9_-]{1,512})/results(?=")'
)
_ID: Final = re.compile(r"(?:([a-z]{1,16}[-_])|)[A-Za-z0-9_-]{1,512}")
_REFERRING: Final = frozenset({"file_id", "input_file_id", "container_id", "file_ids", "vector_store_ids"})
_OUTERMOST: Final = ("container", "conversation")
_ELSEWHERE: Final = frozenset({"arguments", "parameters", "input_schema", "schema", "metadata", "response_format"})
"""Members in which the same words stand for anything."""

_MADE: Final = ("_call", "_tool_result", "_execution_output", "_citation")
"""Ends of types of what a model made: a client brings it back as it was, and refers to nothing by it. Where it is known
who did, that one is asked."""

_IN_ANSWER: Final = ("id", "input_file_id", "output_file_id", "error_file_id", "first_id", "last_id")
MOST_REFERRED: Final = 1000  # ids of one request


@dataclass(frozen=True, slots=True)
class Issuing:
    """What seals ids, and remembers others."""

    seal: Seal
    made: Origins


class Issued:
    """What one request refers to, and the ids in its answer."""

    __slots__ = ("_exchange", "_found", "_issuing", "_shown", "unknown")

    def __init__(self, issuing: Issuing, exchange: Exchange) -> None:
        self._issuing = issuing
        self._exchange = exchange
        self._found: dict[Origin, str] = {}  # by who issued it, the first id that it refers to
        self._shown: dict[str, str] = {}  # ids: the provider's, and what the client has
        self.unknown = ""  # the member that refers to what nobody here is known to have issued

    @property
    def origin(self) -> Origin | None:
        """Who issued what the request refers to."""
        return next(iter(self._found), None)

    def open_call(self, call: Call) -> Call:
        """The call by the id that its provider knows. Raises NotOurs where it is not the caller's."""
        if not call.id:
            return call
        if _SHOWN.fullmatch(call.id):
            id = self._opened(call.id)
            return replace(call, path=call.path.replace(call.id, id, 1), id=id)
        self._refer(call.id, "id")
        if self.unknown and self._exchange.identity is not None:
            raise NotOurs
        return call

    def open_query(self, query: bytes) -> bytes:
        """The query of a list, which may begin behind something. Raises NotOurs."""
        return _IN_QUERY.sub(lambda found: self._opened(found[1].decode()).encode(), query)

    def open_request(self, request: ModelRequest) -> None:
        """Have a request refer to what its provider knows. Raises NotOurs, BadBody where that is not certain,
        and ModelError for what several issued."""
        body = request.body
        if b"gw1_" in body:
            body = self._opened_body(body)
            if body is not request.body:
                request.body = body
                if request.document:
                    request.document = document_of(body) or request.document
        if body and self._exchange.method == "POST":
            document = request.document or document_of(body)
            if document is None:
                raise BadBody("the body must be a JSON object")
            if _hides(body):
                raise BadBody("a member of the body is duplicated, and what it refers to is not certain; write it once")
            request.document = document
        for member, id in referred(request.document):
            if id not in self._shown:
                self._refer(id, member)
        self.check_one()

    def _opened_body(self, body: bytes) -> bytes:
        opened: dict[bytes, bytes] = {}  # each once: that takes as long as a thousand bytes of anything else

        def replacement(found: re.Match[bytes]) -> bytes:
            shown = found[1]
            if shown not in opened:
                if len(opened) >= MOST_REFERRED:
                    raise _too_many()
                opened[shown] = b'"%b"' % self._opened(shown.decode()).encode()
            return opened[shown]

        return _IN_BODY.sub(replacement, body)

    def check_one(self, other: Origin | None = None) -> None:
        """Have all that the request refers to be of one provider and key, and of `other`, where that is known. Raises
        ModelError."""
        origins = [*self._found] if other is None else [*self._found, other]
        differing = next((origin for origin in origins if origin != origins[0]), None)
        if differing is None:
            return
        first, second = origins[0].provider, differing.provider
        whose = f"{first} and {second}" if first != second else f"two keys of {first}"
        shown = " and ".join(f"`{self._shown.get(id, id)[:60]}`" for id in list(self._found.values())[:2])
        detail = f"the request refers to what different providers have issued ({whose}): {shown}"
        raise ModelError(ErrorKind.BAD_REQUEST, detail, "mixed_providers", logged="it refers to several providers")

    def answer(self, call: Call, data: bytes, origin: Origin) -> bytes:
        """A whole answer about what is stored, with its ids sealed; every other byte is as it came."""
        document = document_of(data)
        if document is None:
            return data
        if call.api is not CONVERSATIONS or not call.path.partition("/items")[1]:
            listed = document.get("data")
            entries = [members(entry) for entry in listed] if isinstance(listed, list) else []
            for entry in (document, *entries):
                for name in _IN_ANSWER:
                    self._seal(entry.get(name), origin)
        shown = {id.encode(): given.encode() for id, given in self._shown.items()}
        if call.api in (MESSAGE_BATCH, MESSAGE_BATCHES):
            data = _RESULTS.sub(lambda found: _results_here(found, shown), data)
        return _STRING.sub(lambda found: b'"%b"' % shown.get(found[1], found[1]), data)

    def _seal(self, id: object, origin: Origin) -> None:
        known = _ID.fullmatch(id) if isinstance(id, str) else None
        if not isinstance(id, str) or known is None or id in self._shown:
            return
        self._shown[id] = f"{known[1] or '_'}gw1_{self._issuing.seal.sealed(origin, id, self._exchange)}"
        self._issuing.made.note_issued(id.encode(), origin, self._exchange)

    def _opened(self, shown: str) -> str:
        token = _SHOWN.fullmatch(shown)
        if token is None or len(shown) > LONGEST:
            raise NotOurs
        origin, id = self._issuing.seal.opened(token[1], self._exchange)
        if not id:  # what is sealed with encrypted content
            raise NotOurs
        self._found.setdefault(origin, id)
        self._shown[id] = shown
        self._issuing.made.note_issued(id.encode(), origin, self._exchange)
        return id

    def _refer(self, id: str, member: str) -> None:
        made, exchange = self._issuing.made, self._exchange
        encoded = id.encode("utf-8", "surrogatepass")
        origin = made.of((encoded,), exchange)
        if origin is not None:
            self._found.setdefault(origin, id)
        elif made.is_of_others(encoded, exchange):
            raise NotOurs
        else:
            self.unknown = self.unknown or member


def referred(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The ids in a body that are of files and the like, each with the member that it stands in; with none where a model
    made it."""
    for number, (member, id) in enumerate(_referred(document)):
        if number >= MOST_REFERRED:
            raise _too_many()
        yield member, id


def _too_many() -> ModelError:
    detail = f"a request may refer to {MOST_REFERRED} files at most"
    return ModelError(ErrorKind.BAD_REQUEST, detail, "invalid_request")


def _referred(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    batch = document.get("requests")
    requests = [members(members(each).get("params")) for each in batch] if isinstance(batch, list) else []
    for request in (document, *requests):
        for name in _OUTERMOST:
            value = request.get(name)
            id = members(value).get("id") if isinstance(value, dict) else value
            if isinstance(id, str):
                yield name, id
    for name in _REFERRING.intersection(document):
        yield from ((name, id) for id in _texts(document[name]))
    rest: list[Any] = [value for name, value in document.items() if name not in _ELSEWHERE]
    while rest:
        value = rest.pop()
        if isinstance(value, list):
            rest += [each for each in value if isinstance(each, dict | list)]
        elif isinstance(value, dict):
            yield from _in_object(value, rest)


def _in_object(value: Mapping[str, Any], rest: list[Any]) -> Iterator[tuple[str, str]]:
    """The ids in one object; what is to be looked at later is added to `rest`."""
    kind = value.get("type")
    is_call = kind in ("tool_use", "server_tool_use", "mcp_tool_use", "function")
    made = isinstance(kind, str) and kind.endswith(_MADE)
    if value.get("type") == "code_interpreter" and isinstance(value.get("container"), str):
        yield "container", value["container"]
    for name, each in value.items():
        if name in _REFERRING and not isinstance(each, dict):
            yield from (("" if made else name, id) for id in _texts(each))
        elif isinstance(each, dict | list) and name not in _ELSEWHERE and not (is_call and name == "input"):
            rest.append(each)


def _texts(value: object) -> Sequence[str]:
    """An id, or those of a list."""
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]


def _hides(body: bytes) -> bool:
    """Whether a body that refers to something has a member twice, of which it is unknown which one a provider reads, or
    cannot be read."""
    refers = twice = False

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal refers, twice
        names = {name for name, _ in pairs}
        refers = refers or not _REFERRING.isdisjoint(names) or not names.isdisjoint(_OUTERMOST)
        twice = twice or len(names) < len(pairs)

    try:
        json.loads(body, object_pairs_hook=look)
    except (ValueError, RecursionError):
        return True
    return refers and twice


def _results_here(found: re.Match[bytes], shown: Mapping[bytes, bytes]) -> bytes:
    """The place of a batch's results, below the base URL of the client: it has no key for any other host. The SDKs take
    a path for such a one."""
    return b"%b/v1/messages/batches/%b/results" % (found[1], shown.get(found[2], found[2]))


def not_yours(call: Call) -> NotKnown:
    """Nobody has it, or somebody else."""
    what = call.api.stored or ("response" if call.api in (RESPONSES, RESPONSE_TOKENS) else "file")
    detail = f"there is no {what} of this id, or it is not yours"
    if not call.id:
        detail = "the request refers by an id to what does not exist, or is not yours"
    return NotKnown(ErrorKind.NO_ROUTE, detail, f"{what.replace(' ', '_')}_not_found")


def names(request: ModelRequest) -> Sequence[str]:
    """The models that a batch of Messages names."""
    return list(dict.fromkeys((*request.others, *request.unknown_names)))

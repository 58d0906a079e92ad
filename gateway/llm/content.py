"""Prompts and answers for the access log and spans, of those routes that ask for it: hashed, redacted or as they are.

What is kept is the body of the request and of the answer, as JSON or as a stream of events, up to a size. `redacted` is
as guardrails leave it; where none that enforces looks at it, or one failed and let it pass, there is a hash only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from gateway.config.models.llm.file import ContentMode, ModelsFile
from gateway.config.models.llm.guardrails import Stage
from gateway.http import Headers, Response
from gateway.http.bodies import Body
from gateway.http.model_record import Content
from gateway.llm.going import Going

_HASHED: Final = "sha256:"


@dataclass(frozen=True, slots=True)
class Contents:
    """Which contents are kept, and of whom."""

    mode: ContentMode
    routes: Mapping[str, ContentMode]
    most: int  # bytes of a prompt or answer
    never_of: frozenset[str]  # tenants
    guarded: Mapping[str, frozenset[Stage]]  # what guardrails look at and may change, by profile

    def begin(self, going: Going) -> Keeping | None:
        """The recorder of this request's content; None if it is not kept."""
        exchange = going.exchange
        mode = self.routes.get(exchange.route or "", self.mode)
        identity = exchange.identity
        if mode == "none" or (identity is not None and identity.tenant in self.never_of):
            return None
        return Keeping(self, mode, going)


class Keeping:
    """The content of one request."""

    def __init__(self, contents: Contents, mode: ContentMode, going: Going) -> None:
        self._contents = contents
        self._mode = mode
        self._going = going
        self._prompt = going.request.body  # before guardrails
        self._answer = bytearray()  # its beginning
        self._size = 0
        self._hash = sha256()
        self._stage: Stage = "output"
        going.exchange.defer(self.over)

    def watch(self, response: Response) -> None:
        """Keep what the client gets of it."""
        if isinstance(response.body, bytes):
            self.add(response.body)
        else:
            self._stage = "stream" if self._going.record.streamed else "output"
            response.body = _Watched(response.body, self)

    def add(self, piece: bytes) -> None:
        """More of the answer."""
        self._size += len(piece)
        self._hash.update(piece)
        room = self._contents.most - len(self._answer)
        if room > 0:
            self._answer += piece[:room]

    def over(self) -> None:
        """Nothing more comes: note it."""
        going = self._going
        prompt = self._prompt if self._mode == "full" else going.request.body
        most = self._contents.most
        question = self._cut("input", prompt[:most], len(prompt), sha256(prompt).hexdigest)
        answer = self._cut(self._stage, bytes(self._answer), self._size, self._hash.hexdigest)
        going.record.content = Content(question, answer)

    def _cut(self, stage: Stage, beginning: bytes, size: int, digest: Callable[[], str]) -> str | None:
        if not size:
            return None
        record = self._going.record
        guarded = self._contents.guarded.get(record.profile, frozenset())
        # What was not sent may have been refused for what it says.
        seen = stage in guarded and stage not in record.unseen
        redacted = self._mode == "redacted" and seen and record.tries > 0
        if self._mode == "full" or redacted:
            cut = f" ... ({size} bytes)" if size > len(beginning) else ""
            return beginning.decode("utf-8", "replace") + cut
        return f"{_HASHED}{digest()}"


class _Watched:
    """A body that is kept while the client gets it. A Body."""

    __slots__ = ("_body", "_keeping")

    def __init__(self, body: Body, keeping: Keeping) -> None:
        self._body = body
        self._keeping = keeping

    @property
    def trailers(self) -> Headers:
        return self._body.trailers

    @property
    def ready(self) -> bool:
        return self._body.ready

    async def read(self) -> bytes:
        piece = await self._body.read()
        self._keeping.add(piece)
        return piece

    def close(self) -> None:
        self._body.close()


def contents_of(models: ModelsFile) -> Contents | None:
    """As models.yaml has it; None where nothing is ever kept."""
    config = models.content
    if {config.mode, *config.routes.values()} == {"none"}:
        return None
    enforced = {name: guardrail.on for name, guardrail in models.guardrails.items() if guardrail.mode == "enforce"}
    guarded = {
        name: frozenset(stage for each in profile.guardrails for stage in enforced.get(each, ()))
        for name, profile in models.model_routing.profiles.items()
    }
    return Contents(config.mode, config.routes, config.max_size, frozenset(config.never_of), guarded)

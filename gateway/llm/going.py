"""One request to a model on its way, and what each provider is sent of it."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.http import Exchange, WholeBody
from gateway.http.bodies import Body
from gateway.http.model_record import ModelRecord
from gateway.llm.accounting import Bill
from gateway.llm.affinity import Origin, Sealing
from gateway.llm.apis import CHAT, COMPLETIONS, MESSAGES, RESPONSES, Api, Call
from gateway.llm.choosing import Candidate
from gateway.llm.guardrails import Watch
from gateway.llm.metering import Meter
from gateway.llm.money import Money
from gateway.llm.providers import CREDENTIALS, Key, Provider
from gateway.llm.realtime import REALTIME, with_model
from gateway.llm.request import BadBody, ModelRequest
from gateway.llm.rewriting import limited, rewritten
from gateway.llm.speaking import bad_body
from gateway.llm.translate.returning import without_translated
from gateway.llm.translate.table import translation
from gateway.llm.translate.translation import Translated, Translation
from gateway.llm.upload import Upload

_HIDDEN: Final = CREDENTIALS | {
    b"accept-encoding",
    b"content-digest",
    b"content-encoding",
    b"content-md5",
    b"cookie",
    b"digest",
    b"openai-organization",
    b"openai-project",
    b"origin",
    b"referer",
    b"x-goog-user-project",
}
"""Headers of the client that are no provider's business, or not true of what is sent: whose account pays is said by the
key, and a provider refuses a key with another account's name, so that one client could have it left out for all."""

_PLAIN: Final = (b"accept-encoding", b"identity")  # so that usage can be read
_JSON: Final = (b"content-type", b"application/json")
_APIS: Final = {api.name: api for api in (CHAT, COMPLETIONS, MESSAGES, RESPONSES)}


@dataclass(frozen=True, slots=True)
class Sent:
    """What a provider is sent, and how its answer is read."""

    api: Api  # of the answer
    origin: Origin
    taking_out: bool = False  # the usage was asked for by the gateway only
    translation: Translation | None = None
    translated: Translated | None = None


@dataclass(slots=True)
class Going:
    """One request to a model. Either `request` has its body, or `upload`, which is a form that streams."""

    exchange: Exchange
    call: Call
    record: ModelRecord
    request: ModelRequest
    bill: Bill
    meter: Meter
    money: Money
    upload: Upload | None = None
    watch: Watch | None = None  # the guardrails of the request and of its answer
    affinity: bytes = b""  # what belongs together, for the sake of prompt caches
    sealing: Sealing | None = None  # the ids that it refers to, and those of its answer
    several: bool = False  # deployments could answer: ids in the answer are sealed
    draining: bool = False  # its client went away, and its answer is read on
    output_limit: int | None = None  # that its answer is to be given
    lines: tuple[tuple[bytes, bytes], ...] = ()  # headers for every provider
    query: bytes = b""
    hidden: frozenset[bytes] = frozenset()  # headers of the client that no provider gets
    fields: dict[bytes, bytes] = field(default_factory=dict)  # its header lines, as they came

    def over(self, *, drained: bool = False) -> None:
        """Nothing more comes, for the client or, where it went away, at all: charge what it took."""
        if drained or not self.draining:
            self.meter.over()
            self.money.over(self.exchange)

    def twin(self) -> Going:
        """The same request, with a record, a bill and an exchange of its own."""
        record = self.record.twin()
        bill = self.bill.twin(record)
        exchange = copy(self.exchange)
        exchange.model = record
        watch = None if self.watch is None else Watch(self.watch.guards, exchange, record)
        meter = Meter(record, self.meter.began, bill)
        return replace(self, exchange=exchange, record=record, bill=bill, watch=watch, meter=meter)

    @property
    def origin(self) -> Origin | None:
        """The only deployment that may be asked."""
        return self.sealing.origin if self.sealing is not None else None

    @property
    def may_be_sent_again(self) -> bool:
        """Whether no part of what cannot be sent twice has been sent."""
        return self.upload is None or self.upload.is_whole

    def send(self, provider: Provider, key: Key, candidate: Candidate) -> Sent:
        """Make the exchange one with this provider. Raises CannotTranslate."""
        exchange, call, request = self.exchange, self.call, self.request
        lines, hidden = (*self.lines, *key.lines, _PLAIN), self.hidden | _HIDDEN
        path, query, body = call.path_for(candidate.model), self.query, b""
        origin = Origin(provider.name, key.fingerprint)
        sent = Sent(call.api, origin, taking_out=not request.tells_usage)
        if candidate.translated and (found := translation(call.api.name, provider.protocol)) is not None:
            translated = found.request(
                limited(request, self.output_limit), candidate.model, drop=provider.unsupported == "drop"
            )
            self.record.translated, self.record.dropped = found.to_api, translated.dropped
            sent = Sent(_APIS[found.to_api], origin, translation=found, translated=translated)
            path, query, body = found.to_path, b"", translated.body
            lines += (_JSON, *((name.lower().encode(), value.encode()) for name, value in found.headers))
            hidden |= self._beginning(found.hidden) | {b"content-type"}
        elif self.upload is None and call.api.reads_body:
            model = candidate.model if candidate.model != request.model else None
            try:
                body = rewritten(request, model=model, ask_usage=sent.taking_out, output_limit=self.output_limit)
            except BadBody as error:
                raise bad_body(error) from None
            body = without_translated(call.api.name, body)
        if call.api is REALTIME:
            query = with_model(query, candidate.model)
        exchange.target_path, exchange.query = provider.path_of(path), query
        exchange.extra_headers, exchange.hidden_headers = lines, hidden
        self._give_body(body, candidate.model)
        return sent

    def seals(self, sent: Sent) -> Sealing | None:
        """What seals the ids of an answer, where they are to be sealed."""
        sealing = self.sealing
        needed = sealing is not None and sent.translated is None and (self.several or sealing.origin is not None)
        return sealing if needed else None

    def _give_body(self, data: bytes, model: str) -> None:
        exchange = self.exchange
        body: Body | None = WholeBody(data, []) if data else None
        size: int | None = len(data)
        if self.upload is not None:
            body, size = self.upload.for_model(model)
        exchange.body = body
        if body is not None:
            exchange.fields = {name: value for name, value in self.fields.items() if name != b"content-length"}
            if size is not None:
                exchange.fields[b"content-length"] = b"%d" % size

    def _beginning(self, prefixes: tuple[str, ...]) -> frozenset[bytes]:
        starts = tuple(prefix.encode() for prefix in prefixes)
        return frozenset(name for name in self.fields if name.startswith(starts))

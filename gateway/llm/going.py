"""One request to a model on its way, and what each provider is sent of it."""

from __future__ import annotations

from copy import copy
from typing import Final

from gateway.deadlines import NEVER
from gateway.http import Exchange, WholeBody
from gateway.http.messages import Deferred
from gateway.http.model_record import ModelRecord
from gateway.llm.accounting import Bill
from gateway.llm.affinity import Origin, Sealing
from gateway.llm.apis import CHAT, COMPLETIONS, ISSUED, MESSAGES, RESPONSES, Api, Call
from gateway.llm.choosing import Candidate, Profile
from gateway.llm.cooldown import Deployment
from gateway.llm.guardrails import Watch
from gateway.llm.issued import Issued
from gateway.llm.metering import Meter
from gateway.llm.money import Money
from gateway.llm.origins import Origins
from gateway.llm.profile_bounds import allowed_output
from gateway.llm.providers import CREDENTIALS, OF_BROWSERS, Key, Provider
from gateway.llm.realtime import HIDDEN, REALTIME, with_model
from gateway.llm.request import BadBody, ModelRequest
from gateway.llm.rewriting import limited, rewritten
from gateway.llm.speaking import bad_body
from gateway.llm.translate.returning import without_translated
from gateway.llm.translate.table import translation
from gateway.llm.translate.translation import Translated, Translation
from gateway.llm.upload import Upload

_HIDDEN: Final = (
    CREDENTIALS
    | OF_BROWSERS
    | {
        b"accept-encoding",
        b"content-digest",
        b"content-encoding",
        b"content-md5",
        b"digest",
        b"openai-organization",
        b"openai-project",
        b"x-goog-user-project",
    }
)
"""Headers of the client that are no provider's business, or not true of what is sent: whose account pays is said by the
key, and a provider refuses a key with another account's name, so that one client could have it left out for all."""

_JSON: Final = (b"content-type", b"application/json")
_APIS: Final = {api.name: api for api in (CHAT, COMPLETIONS, MESSAGES, RESPONSES)}


class Sent:
    """The request to a provider, and how its answer is read. (No dataclass: one is made for every request.)"""

    # Defaults of the class: most requests differ in few of them.
    translation: Translation | None = None
    translated: Translated | None = None
    outer: Deferred | None = None  # what the exchange is to close, beside what this attempt opens
    deadline: float = NEVER  # of the exchange, which may be later than that of this attempt
    ways: tuple[Deployment, ...] = ()  # which wait for what becomes of it

    def __init__(self, api: Api, provider: Provider, key: Key, candidate: Candidate, *, taking_out: bool) -> None:
        self.api = api  # of the answer
        self.provider = provider
        self.key = key
        self.candidate = candidate
        self.taking_out = taking_out  # the usage was asked for by the gateway only

    @property
    def origin(self) -> Origin:
        """Who answers."""
        return Origin(self.provider.name, self.key.fingerprint)


class Going:
    """One request to a model. Either `request` has its body, or `upload`, which is a form that streams. (No dataclass:
    one is made for every request.)"""

    # Defaults of the class: most requests differ in few of them.
    origins: Origins | None = None  # who made what; None: nobody else could have
    signer: Origin | None = None  # who made, signed or issued what it brings back or refers to
    made: Origins | None = None  # remembers what its answer has; None: nobody asks for it
    issued: Issued | None = None  # the files and the like that it is about, or refers to
    watch: Watch | None = None  # the guardrails of the request and of its answer
    several: bool = False  # deployments could answer: ids in the answer are sealed
    draining: bool = False  # its client went away, and its answer is read on
    output_limit: int | None = None  # that its answer is to be given

    def __init__(
        self,
        exchange: Exchange,
        call: Call,
        record: ModelRecord,
        request: ModelRequest,
        bill: Bill,
        meter: Meter,
        money: Money,
        upload: Upload | None = None,
        sealing: Sealing | None = None,
        session_headers: tuple[bytes, ...] = (),
    ) -> None:
        self.exchange = exchange
        self.call = call
        self.record = record
        self.request = request
        self.bill = bill
        self.meter = meter
        self.money = money
        self.upload = upload
        self.sealing = sealing  # the ids that it refers to, and those of its answer
        self._session_headers = session_headers
        self.lines = exchange.extra_headers  # for every provider
        self.query = exchange.query
        self.hidden = exchange.hidden_headers  # of the client, which no provider gets
        self.fields = exchange.fields  # its header lines, as they came

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
        meter = self.meter.twin(record, bill)
        made = Going(
            exchange,
            self.call,
            record,
            self.request,
            bill,
            meter,
            self.money,
            self.upload,
            self.sealing,
            self._session_headers,
        )
        made.watch = None if self.watch is None else Watch(self.watch.guards, exchange, record)
        made.origins, made.signer, made.issued = self.origins, self.signer, self.issued
        made.made = self.made
        made.several, made.draining, made.output_limit = self.several, self.draining, self.output_limit
        made.lines, made.query, made.hidden, made.fields = self.lines, self.query, self.hidden, self.fields
        return made

    @property
    def affinity(self) -> bytes:
        """The key of a session, whose requests go to the same provider and key for the sake of its prompt cache."""
        exchange, session = self.exchange, self.request.prompt_cache_key.encode("utf-8", "surrogatepass")
        for name in self._session_headers:
            session = session or exchange.fields.get(name, b"")
        if not session:
            return b""
        identity = exchange.identity
        caller = "" if identity is None else identity.tenant or identity.consumer
        return caller.encode("utf-8", "surrogatepass") + b"\0" + session

    @property
    def origin(self) -> Origin | None:
        """The only deployment that may be asked."""
        return self.sealing.origin if self.sealing is not None else self.signer

    @property
    def may_be_sent_again(self) -> bool:
        """Whether no part of what cannot be sent twice has been sent."""
        return self.upload is None or self.upload.is_whole

    @property
    def creates(self) -> bool:
        """Whether something is stored at the provider, each time that the request is sent."""
        return self.call.api in ISSUED and self.exchange.method == "POST"

    def bound_output(self, profile: Profile) -> None:
        """Have its answer be no longer than this profile lets it, either."""
        allowed = allowed_output(self.request, profile)
        if self.call.api.generates and allowed is not None and allowed != self.request.output_limit:
            self.output_limit = allowed if self.output_limit is None else min(allowed, self.output_limit)

    def send(self, provider: Provider, key: Key, candidate: Candidate) -> Sent:
        """Make the exchange one with this provider. Raises CannotTranslate."""
        exchange, call, request = self.exchange, self.call, self.request
        lines = key.lines if not self.lines else (*self.lines, *key.lines)
        hidden = _HIDDEN if not self.hidden else self.hidden | _HIDDEN
        path, query, body = call.path_for(candidate.model) if call.model else call.path, self.query, b""
        sent = Sent(call.api, provider, key, candidate, taking_out=request.stream and not request.reports_usage)
        if candidate.translated and (made := self.translate(provider, candidate)) is not None:
            found, translated = made
            self.record.translated, self.record.dropped = found.to_api, translated.dropped
            sent = Sent(_APIS[found.to_api], provider, key, candidate, taking_out=False)
            sent.translation, sent.translated = found, translated
            path, query, body = found.to_path, b"", translated.body
            lines += (_JSON, *((name.lower().encode(), value.encode()) for name, value in found.headers))
            hidden |= self._beginning(found.hidden) | {b"content-type"}
        elif self.upload is None and call.api.reads_body:
            body = request.body
            model = candidate.model if candidate.model not in ("", request.model) else None
            if model is not None or sent.taking_out or self.output_limit is not None:
                try:
                    body = rewritten(request, model=model, ask_usage=sent.taking_out, output_limit=self.output_limit)
                except BadBody as error:
                    raise bad_body(error) from None
            body = without_translated(call.api.name, body)
        elif exchange.method == "POST":  # what is changed of something stored
            body = request.body
        if call.api is REALTIME:
            query = with_model(query, candidate.model)
            hidden |= HIDDEN
        exchange.target_path, exchange.query = provider.path_of(path), query
        exchange.extra_headers, exchange.hidden_headers = lines, hidden
        if self.upload is not None:
            self._give_upload(self.upload, candidate.model)
        elif body:
            exchange.body = WholeBody(body, [])
            length = b"%d" % len(body)
            if exchange.fields.get(b"content-length") != length:  # it was changed, or came in pieces
                exchange.fields = {**self.fields, b"content-length": length}
        else:
            exchange.body = None
        return sent

    def translate(self, provider: Provider, candidate: Candidate) -> tuple[Translation, Translated] | None:
        """The request in the API of the provider; None where that is the client's. Raises CannotTranslate."""
        found = translation(self.call.api.name, provider.protocol) if candidate.translated else None
        if found is None:
            return None
        request = limited(self.request, self.output_limit)
        return found, found.request(request, candidate.model, drop=provider.unsupported == "drop")

    def seals(self, sent: Sent) -> Sealing | None:
        """The sealer of an answer's ids, if they are to be sealed."""
        sealing = self.sealing
        needed = sealing is not None and sent.translated is None and (self.several or sealing.origin is not None)
        return sealing if needed else None

    def _give_upload(self, upload: Upload, model: str) -> None:
        self.exchange.body, size = upload.for_model(model)
        self.exchange.fields = fields = self.fields.copy()
        if size is not None:
            fields[b"content-length"] = b"%d" % size
        else:
            fields.pop(b"content-length", None)

    def _beginning(self, prefixes: tuple[str, ...]) -> frozenset[bytes]:
        starts = tuple(prefix.encode() for prefix in prefixes)
        return frozenset(name for name in self.fields if name.startswith(starts))

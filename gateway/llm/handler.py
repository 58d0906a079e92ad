"""Requests to models: read, decided, reserved, tried, counted. The Handler of routes whose target is `models`."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.algorithms.globs import Glob
from gateway.deadlines import NEVER
from gateway.errors import ErrorKind
from gateway.http import Decision, Exchange, Response
from gateway.http.media import is_form
from gateway.http.model_record import ModelRecord
from gateway.limits.held_bodies import HeldBodies, memory_for
from gateway.llm.accounting import Bill
from gateway.llm.affinity import NotOurs, Seal, Sealing
from gateway.llm.answering import final
from gateway.llm.apis import (
    CHAT_STORED,
    GENERATE,
    ISSUED,
    MESSAGES,
    RESPONSE_TOKENS,
    RESPONSES,
    RESPONSES_BY_ID,
    Call,
)
from gateway.llm.cache import AnswerCache
from gateway.llm.choosing import (
    UNBOUNDED,
    Ask,
    Choice,
    NotAllowed,
    Table,
    TooLong,
    candidates_of,
    choose,
    usual_choice,
)
from gateway.llm.concealing import LONGEST_NAME, called, conceal
from gateway.llm.content import Contents, Keeping
from gateway.llm.explaining import Decided
from gateway.llm.failover import Failover, is_final
from gateway.llm.failures import Failure
from gateway.llm.going import Going
from gateway.llm.guarding import guard_request
from gateway.llm.hedging import hedged
from gateway.llm.issued import Issued, Issuing, not_yours
from gateway.llm.metering import Meter
from gateway.llm.money import Money
from gateway.llm.offering import Offering
from gateway.llm.origins import Origins, brings_thinking
from gateway.llm.profile_bounds import allowed_output, check_temperature
from gateway.llm.providers import CREDENTIALS
from gateway.llm.reading import read_at_once, read_body
from gateway.llm.referring import find_origin, keeping, kept, looking_at_all, of_no_model
from gateway.llm.request import BadBody, ModelRequest, read
from gateway.llm.speaking import ModelError, bad_body, who_answered
from gateway.llm.storing import check_batch, name_model, takes_model
from gateway.llm.upload import Upload, read_file, read_form
from gateway.upstream.websocket import Upgraded

_SEALED: Final = frozenset({RESPONSES, RESPONSES_BY_ID, RESPONSE_TOKENS})
_REMEMBERED: Final = frozenset({MESSAGES, RESPONSES, GENERATE})


@dataclass(frozen=True, slots=True)
class Settings:
    """How requests to models are treated."""

    most_body: int = 32 * 1024**2  # bytes
    session_headers: tuple[bytes, ...] = ()
    says_who: bool = True  # in headers of the response
    list_stored: bool = False  # also to callers that are not the only ones
    total: float = NEVER  # seconds, for a request with all its attempts
    concealed: frozenset[bytes] = CREDENTIALS  # headers of the gateway's own that no provider gets
    revision: str = ""
    contents: Contents | None = None  # what of prompts and answers is logged; None: nothing
    allowed: Mapping[str, tuple[Glob, ...] | None] = field(default_factory=dict)  # the models of some consumers


class Models:
    """All models of one configuration. A Handler."""

    name: Final = "models"

    def __init__(
        self,
        table: Table,
        money: Money,
        failover: Failover,
        seal: Seal | None,
        issuing: Issuing,
        settings: Settings,
        bodies: HeldBodies,
        answers: AnswerCache | None = None,
        origins: Origins | None = None,
    ) -> None:
        self._answers = answers  # None: no profile has a cache
        self._bodies = bodies
        self._issuing = issuing
        self._origins = origins  # None: nothing could come from several
        self.table = table
        self.money = money
        self.failover = failover
        self._seal = seal
        self.settings = settings
        self._offering = Offering(table, settings.allowed)

    async def __call__(self, exchange: Exchange) -> Response:
        """Answer. Raises GatewayError."""
        began = time.perf_counter()
        if exchange.method == "HEAD" and exchange.target_path == "/":
            return Response(200, [(b"content-length", b"0")])
        call = called(exchange)
        if call.api.name == "models":
            return self._offering.listed(exchange, call)
        if exchange.query or exchange.extra_headers:
            conceal(exchange, call, self.settings.concealed)
        whole = None if call.api.forms else read_at_once(exchange, self.settings.most_body)
        body = await self._body(exchange, call) if whole is None else whole
        if body:
            self._bodies.hold(exchange, memory_for(body) if isinstance(body, bytes) else body[1].held)
        going = self._begun(exchange, call, began, body)
        try:
            if self.money.tools.quotas:
                await self.money.tools.check(exchange, going.request.document)
            if self.settings.total != NEVER and not exchange.websocket:
                ends = asyncio.get_running_loop().time() + self.settings.total
                exchange.deadline = min(exchange.deadline, ends)
            keeping = None if self.settings.contents is None else self.settings.contents.begin(going)
            choice = self._decided(going)
            if choice.profile.guards:
                await guard_request(going, choice.profile.guards)
            answers = self._answers
            wanted = answers.wanted(going, choice) if answers is not None else None
            response = await answers.found(going, wanted) if answers is not None and wanted is not None else None
            if response is None:
                if self.money.budgets.budgets or choice.profile.most_output is not None:
                    await self._reserve(going, choice)
                sent = self.failover.only(going, choice.candidates) if choice.profile.hedge is None else None
                asked = self._asked(going, choice) if sent is None else self.failover.attempt(going, sent)
                outcome = await asked
                if isinstance(outcome, Failure):
                    outcome = await self._failed(going, choice, outcome, goes_on=sent is not None)
                response = outcome
                if answers is not None and wanted is not None:
                    response = await answers.kept(going, wanted, response)
        except BaseException:
            going.over()
            raise
        return self._said(going, keeping, response)

    def _asked(self, going: Going, choice: Choice) -> Awaitable[Response | Failure]:
        """The answer of a provider, or the last failure. What is returned raises GatewayError."""
        after = choice.profile.hedge
        if after is None:
            return self.failover.answer(going, choice.candidates)
        return hedged(self.failover, going, choice.candidates, after)

    def _said(self, going: Going, keeping: Keeping | None, response: Response) -> Response:
        """With who answered, where that is said, and kept, where it is to be. What comes whole is charged at once."""
        if isinstance(response.body, bytes) and response.session is None:
            going.over()
        else:
            going.exchange.defer(going.over)
        session = response.session
        if isinstance(session, Upgraded):
            session.check = self._offering.session_check(going.exchange, going.record)
            going.bill.opened()
        if session is None:
            if self.settings.says_who:
                response.headers += who_answered(going.record)
            if keeping is not None:
                keeping.watch(response)
        return response

    def _decided(self, going: Going) -> Choice:
        """Who may answer. Raises GatewayError."""
        stored = going.call.api.stored
        choice = self._stored(going) if stored else self._chosen(going)
        if going.sealing is None and going.origins is None and going.issued is None and not stored:
            return choice
        return kept(going, choice, self.failover.providers)

    async def explain(self, exchange: Exchange) -> Decided | None:
        """The decision, without reserving or sending anything; None if the gateway itself would answer.
        Raises GatewayError."""
        if exchange.method == "HEAD" and exchange.target_path == "/":
            return None
        call = called(exchange)
        if call.api.name == "models":
            return None
        if exchange.query:
            conceal(exchange, call, self.settings.concealed)
        going = self._begun(exchange, call, time.perf_counter(), await self._body(exchange, call))
        ask = self._ask(going, counted=True)
        choice = self._stored(going) if call.api.stored else self._chosen_for(going, ask)
        choice = kept(going, choice, self.failover.providers)
        self.failover.check_translations(going, choice.candidates)
        choice = replace(choice, left_out=going.record.left_out)
        said: list[Decision] = []
        if call.api.metered or call.api.session:
            limit = allowed_output(going.request, choice.profile)
            said = going.bill.explain(exchange, choice.candidates, limit, generates=call.api.generates)
        return Decided(
            ask, choice, said, going.origin, going.origins is not None and brings_thinking(going.request.body)
        )

    def _body(self, exchange: Exchange, call: Call) -> Awaitable[bytes | tuple[ModelRequest, Upload]]:
        """As much of a body as decides what becomes of the request. What is returned raises GatewayError."""
        if call.api.forms and call.api.stored and exchange.method == "POST":
            return read_file(exchange, call, self._bodies)
        if call.api.forms and is_form(exchange.fields.get(b"content-type", b"")):
            return read_form(exchange, call, self.settings.most_body, self._bodies)
        return read_body(exchange, self.settings.most_body, self._bodies)

    def _begun(self, exchange: Exchange, call: Call, began: float, body: bytes | tuple[ModelRequest, Upload]) -> Going:
        """A request, as far as its body says. Raises GatewayError."""
        sealing, upload, issued = None, None, None
        try:
            if call.api in ISSUED:
                issued = Issued(self._issuing, exchange)
                call = issued.open_call(call)
                exchange.query = issued.open_query(exchange.query)
            if self._seal is not None and call.api in _SEALED:
                sealing = Sealing(self._seal, exchange)
                call = sealing.open_call(call)
            if isinstance(body, bytes):
                request = read(call, body)
            else:
                request, upload = body
            if sealing is not None:
                sealing.open_request(request)
                if self._origins is not None:
                    find_origin(sealing, request, self._origins)
            if issued is not None or request.refers:
                issued = issued or Issued(self._issuing, exchange)
                issued.open_request(request)
                if takes_model(call):
                    name_model(exchange, call, request)
        except NotOurs:
            raise not_yours(call) from None
        except BadBody as error:
            raise bad_body(error) from None
        record = exchange.model = ModelRecord(call.api.name, self.settings.revision)
        record.asked, record.streamed = request.model, request.stream
        record.stored = bool(call.api.stored)
        bill = Bill(self.money, record, exchange.route or "", request, request.n)
        going = Going(
            exchange,
            call,
            record,
            request,
            bill,
            Meter(
                record,
                began,
                bill,
                free=not call.api.metered,
                goes_on=request.background,
            ),
            self.money,
            upload,
            sealing,
            self.settings.session_headers,
        )
        going.issued = issued
        bill.caller = self.money.caller(exchange)
        if call.api in _REMEMBERED:
            going.origins = self._origins
            going.made = self._issuing.made if call.api is MESSAGES else self._origins
        return going

    def _ask(self, going: Going, *, counted: bool) -> Ask:
        """`counted`: with an estimate of its tokens, whether or not anything depends on that."""
        api, request = going.call.api, going.request
        return Ask(
            api.name,
            api.family,
            request.model,
            request.stream,
            request.tools,
            going.bill.estimated if counted or self.table.counts else 0,
            request.output_limit or 0,
            going.affinity,
            tuple(request.others) if request.others else (),
        )

    def _chosen(self, going: Going) -> Choice:
        request = going.request
        usual = usual_choice(self.table, request.api.name, request.model) if not request.others else None
        if usual is None or self.settings.allowed or usual.profile.temperature != UNBOUNDED:
            return self._chosen_for(going, self._ask(going, counted=False))
        self._note(going.record, usual)
        return usual

    def _chosen_for(self, going: Going, ask: Ask) -> Choice:
        exchange, record = going.exchange, going.record
        if not ask.model:
            raise ModelError(ErrorKind.BAD_REQUEST, "`model` is missing", "model_missing", param="model")
        if len(ask.model) > LONGEST_NAME or not ask.model.isprintable():
            detail = f"`model` must be at most {LONGEST_NAME} printable characters"
            raise ModelError(ErrorKind.BAD_REQUEST, detail, "model_invalid", param="model")
        if self.settings.allowed:
            self._offering.check(exchange, going.request)
        try:
            choice = choose(self.table, ask, exchange, random.random(), self.failover.loads.of)
        except NotAllowed:
            detail = "you may use no profile that this request could have"
            raise ModelError(ErrorKind.FORBIDDEN, detail, "profile_not_allowed") from None
        except TooLong as error:
            record.profile = error.profile
            detail = f"the request has about {error.tokens} tokens, and at most {error.most} are taken"
            raise ModelError(ErrorKind.BAD_REQUEST, detail, "context_length_exceeded", param="messages") from None
        self._note(record, choice)
        if not choice.candidates:
            record.asked = ""
            raise self._offering.not_offered(exchange, ask, choice, going.request)
        if choice.profile.temperature != UNBOUNDED:
            check_temperature(going.request, choice.profile.temperature)
        return choice

    def _stored(self, going: Going) -> Choice:
        """The providers that may have what is stored. Raises GatewayError."""
        call, exchange, model = going.call, going.exchange, going.request.model
        if not call.id and exchange.method == "GET":
            of_models = call.api is CHAT_STORED
            self._offering.check_list(exchange, shared=self.settings.list_stored, of_models=of_models)
        if model:
            choice = of_no_model(self._chosen_for(going, self._ask(going, counted=False)))
        else:
            choice = keeping(going, self.table)
        check_batch(call, self.table, self.money, restricted=self._offering.restricts(exchange))
        self._note(going.record, choice)
        return replace(choice, profile=looking_at_all(self.table))

    async def _reserve(self, going: Going, choice: Choice) -> None:
        """Hold what the request may need, and see that its answer has a limit where it needs one. Raises Refused."""
        api, asked, allowed = going.call.api, going.request.output_limit, allowed_output(going.request, choice.profile)
        limit = None
        if api.metered or api.session:
            limit = await going.bill.reserve(going.exchange, choice.candidates, allowed, generates=api.generates)
        if api.generates:
            going.output_limit = allowed if allowed != asked else limit if asked is None else None

    def _note(self, record: ModelRecord, choice: Choice) -> None:
        record.rule, record.profile = choice.rule, choice.profile.name
        found = choice.candidates
        record.candidates = (found[0].backend,) if len(found) == 1 else tuple([each.backend for each in found])
        if choice.left_out:
            record.left_out += choice.left_out

    async def _failed(self, going: Going, choice: Choice, failure: Failure, *, goes_on: bool) -> Response:
        """What the client gets after a failure. `goes_on`: it was that of the first attempt, others may follow. Raises
        GatewayError."""
        outcome: Response | Failure = failure
        if goes_on and not is_final(going, failure):
            before = (going.record.backend, failure.reason)
            outcome = await self.failover.answer(going, choice.candidates, before, failure)
        if isinstance(outcome, Failure) and outcome.reason == "context_overflow":
            outcome = await self._overflowed(going, choice, outcome)
        return final(going, outcome) if isinstance(outcome, Failure) else outcome

    async def _overflowed(self, going: Going, choice: Choice, failure: Failure) -> Response | Failure:
        """The provider says that the request is too long: once, the profile for what is."""
        following = self.table.profiles.get(choice.profile.overflow or "")
        if following is None or not following.allows(going.exchange) or going.origin is not None:
            return failure
        ask = self._ask(going, counted=False)
        other = candidates_of(self.table, following, ask, random.random(), self.failover.loads.of)
        if not other.candidates:
            return failure
        before = going.record.backend
        await guard_request(going, following.guards)
        self._note(going.record, replace(other, rule=choice.rule))
        check_temperature(going.request, following.temperature)
        going.bound_output(following)
        return await self.failover.answer(going, other.candidates, (before, failure.reason))

"""Requests to models: read, decided, reserved, tried, counted. The Handler of routes whose target is `models`."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.auth.credentials import without_parameters
from gateway.deadlines import NEVER
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Decision, Exchange, Response
from gateway.http.model_record import LeftOut, ModelRecord
from gateway.llm.accounting import Bill
from gateway.llm.affinity import NotOurs, Origin, Seal, Sealing
from gateway.llm.answering import final, not_there
from gateway.llm.answers import ListedModel, model_entry, model_list
from gateway.llm.apis import AUDIO, IMAGES, RESPONSES, RESPONSES_BY_ID, Call, find
from gateway.llm.cache import AnswerCache
from gateway.llm.choosing import (
    Ask,
    Candidate,
    Choice,
    NotAllowed,
    Profile,
    Table,
    TooLong,
    candidates_of,
    choose,
    offered,
)
from gateway.llm.content import Contents
from gateway.llm.explaining import Decided
from gateway.llm.failover import Failover
from gateway.llm.failures import Failure
from gateway.llm.going import Going
from gateway.llm.guarding import guard_request
from gateway.llm.guardrails import Guard
from gateway.llm.hedging import hedged
from gateway.llm.metering import Meter
from gateway.llm.money import Money
from gateway.llm.providers import CREDENTIALS
from gateway.llm.reading import read_body
from gateway.llm.realtime import find_realtime
from gateway.llm.request import BadBody, ModelRequest, read
from gateway.llm.speaking import ModelError, bad_body, family_of, who_answered
from gateway.llm.upload import is_form, read_form
from gateway.llm.usage import members

LONGEST_NAME: Final = 256  # characters of a model's name
_KEYS: Final = frozenset({b"key"})  # parameters of a query


@dataclass(frozen=True, slots=True)
class Settings:
    """How requests to models are treated."""

    most_body: int = 32 * 1024**2  # bytes
    session_headers: tuple[bytes, ...] = ()
    says_who: bool = True  # in headers of the response
    total: float = NEVER  # seconds, for a request with all its attempts
    concealed: frozenset[bytes] = CREDENTIALS  # headers of the gateway's own that no provider gets
    revision: str = ""
    contents: Contents | None = None  # what of prompts and answers is logged; None: nothing


class Models:
    """All models of one configuration. A Handler."""

    name: Final = "models"

    def __init__(
        self,
        table: Table,
        money: Money,
        failover: Failover,
        seal: Seal | None,
        settings: Settings,
        answers: AnswerCache | None = None,
    ) -> None:
        self._answers = answers  # None: no profile has a cache
        self.table = table
        self.money = money
        self.failover = failover
        self._seal = seal
        self.settings = settings

    async def __call__(self, exchange: Exchange) -> Response:
        """Answer. Raises GatewayError."""
        began = time.perf_counter()
        if exchange.method == "HEAD" and exchange.target_path == "/":
            return Response(200, [(b"content-length", b"0")])
        call = _called(exchange)
        if call.api.name == "models":
            return self._listed(exchange, call)
        self._conceal(exchange)
        going = await self._read(exchange, call, began)
        await self.money.tools.check(exchange, going.request.document)
        exchange.defer(going.over)
        keeping = None if self.settings.contents is None else self.settings.contents.begin(going)
        if not exchange.websocket:
            exchange.deadline = min(exchange.deadline, asyncio.get_running_loop().time() + self.settings.total)
        ask = self._ask(going)
        choice = self._chosen(going, ask) if call.api is not RESPONSES_BY_ID else self._keeping(going)
        going.several = self._deployments(choice) > 1
        if going.origin is not None:
            choice = self._only(going, choice, going.origin)
        if going.several and going.origin is None and call.api is RESPONSES_BY_ID:
            raise ModelError(ErrorKind.NO_ROUTE, "there is no response of this id", "response_not_found")
        await guard_request(going, self._guards(going, choice))
        response = await self._answered(going, ask, choice)
        if self.settings.says_who and response.session is None:
            response.headers += who_answered(going.record)
        if keeping is not None and response.session is None:
            keeping.watch(response)
        return response

    async def _answered(self, going: Going, ask: Ask, choice: Choice) -> Response:
        """The answer: one that is kept, or that of a provider. Raises GatewayError."""
        answers = self._answers
        wanted = answers.wanted(going, choice) if answers is not None else None
        if answers is not None and wanted is not None and (kept := await answers.found(going, wanted)) is not None:
            return kept
        await self._reserve(going, choice)
        if choice.profile.hedge is None:
            outcome = await self.failover.answer(going, choice.candidates)
        else:
            outcome = await hedged(self.failover, going, choice.candidates, choice.profile.hedge)
        if isinstance(outcome, Failure) and outcome.reason == "context_overflow":
            outcome = await self._overflowed(going, ask, choice, outcome)
        response = final(going, outcome) if isinstance(outcome, Failure) else outcome
        if answers is None or wanted is None:
            return response
        return await answers.kept(going, wanted, response)

    async def explain(self, exchange: Exchange) -> Decided | None:
        """What would be decided, without reserving or sending anything; None where the gateway itself would answer.
        Raises GatewayError."""
        if exchange.method == "HEAD" and exchange.target_path == "/":
            return None
        call = _called(exchange)
        if call.api.name == "models":
            return None
        going = await self._read(exchange, call, time.perf_counter())
        ask = self._ask(going)
        choice = self._chosen(going, ask) if call.api is not RESPONSES_BY_ID else self._keeping(going)
        said: list[Decision] = []
        if call.api.metered:
            limit = _allowed(going.request, choice.profile)
            said = going.bill.explain(exchange, choice.candidates, limit, generates=call.api.generates)
        return Decided(ask, choice, said)

    async def _read(self, exchange: Exchange, call: Call, began: float) -> Going:
        """Read as much of a request as decides what becomes of it."""
        most, upload, sealing = self.settings.most_body, None, None
        try:
            if self._seal is not None and call.api in (RESPONSES, RESPONSES_BY_ID):
                sealing = Sealing(self._seal, exchange)
                call = sealing.open_call(call)
            if is_form(exchange) and call.api in (IMAGES, AUDIO):
                request, upload = await read_form(exchange, call, most)
            else:
                request = read(call, await read_body(exchange, most))
            if sealing is not None:
                sealing.open_request(request)
        except NotOurs:
            detail = "there is no response of this id, or it is not yours"
            raise ModelError(ErrorKind.NO_ROUTE, detail, "response_not_found") from None
        except BadBody as error:
            raise bad_body(error) from None
        record = exchange.model = ModelRecord(call.api.name, self.settings.revision)
        record.asked, record.streamed = request.model, request.stream
        tier = request.document.get("service_tier", request.document.get("speed"))  # what costs more, or less
        tier = tier if isinstance(tier, str) else ""
        bill = Bill(self.money, record, exchange.route or "", request.text_bytes, tier, request.n)
        return Going(
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
                goes_on=request.document.get("background") is True,
            ),
            self.money,
            upload,
            sealing=sealing,
            affinity=self._affinity(exchange, request),
            lines=exchange.extra_headers,
            query=exchange.query,
            hidden=exchange.hidden_headers,
            fields=exchange.fields,
        )

    def _ask(self, going: Going) -> Ask:
        api, request = going.call.api, going.request
        return Ask(
            api.name,
            api.family,
            request.model,
            request.stream,
            request.tools,
            going.bill.estimated,
            request.output_limit or 0,
            going.affinity,
        )

    def _chosen(self, going: Going, ask: Ask) -> Choice:
        exchange, record = going.exchange, going.record
        if not ask.model:
            raise ModelError(ErrorKind.BAD_REQUEST, "`model` is missing", "model_missing", param="model")
        if len(ask.model) > LONGEST_NAME or not ask.model.isprintable():
            detail = f"`model` must be at most {LONGEST_NAME} printable characters"
            raise ModelError(ErrorKind.BAD_REQUEST, detail, "model_invalid", param="model")
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
            raise self._not_offered(exchange, ask, choice)
        _check_temperature(going.request, choice.profile)
        return choice

    def _keeping(self, going: Going) -> Choice:
        """The providers that may have a response, by its id."""
        profile = self.table.profiles[self.table.default]
        found = tuple(
            Candidate(offer.name, "", f"{offer.name}/*", translated=False)
            for offer in self.table.offers.values()
            if offer.protocol == going.call.api.family
        )
        choice = Choice(None, profile, found, ())
        self._note(going.record, choice)
        if not found:
            raise ModelError(ErrorKind.NO_ROUTE, "there is no response of this id", "response_not_found")
        return choice

    def _only(self, going: Going, choice: Choice, origin: Origin) -> Choice:
        """The provider that has made what the request refers to, and no other one."""
        found = tuple(each for each in choice.candidates if each.provider == origin.provider)
        others = [each.provider for each in choice.candidates if each.provider != origin.provider]
        going.record.left_out += tuple(LeftOut(name, "affinity") for name in others)
        going.record.candidates = tuple(candidate.backend for candidate in found)
        if not found:
            raise not_there(going)
        return choice._replace(candidates=found)

    def _guards(self, going: Going, choice: Choice) -> Sequence[Guard]:
        """Those of the profile. Of what is known by its id any may be, since any profile may have made it."""
        if going.call.api is not RESPONSES_BY_ID:
            return choice.profile.guards
        return tuple(dict.fromkeys(guard for profile in self.table.profiles.values() for guard in profile.guards))

    def _deployments(self, choice: Choice) -> int:
        """How many could answer in the client's protocol."""
        providers = self.failover.providers
        return sum(len(providers[each.provider].keys) for each in choice.candidates if not each.translated)

    async def _reserve(self, going: Going, choice: Choice) -> None:
        """Hold what the request may need, and see that its answer has a limit where it needs one. Raises Refused."""
        api, asked, allowed = going.call.api, going.request.output_limit, _allowed(going.request, choice.profile)
        limit = None
        if api.metered:
            limit = await going.bill.reserve(going.exchange, choice.candidates, allowed, generates=api.generates)
        if api.generates:
            going.output_limit = allowed if allowed != asked else limit if asked is None else None

    def _note(self, record: ModelRecord, choice: Choice) -> None:
        record.rule, record.profile = choice.rule, choice.profile.name
        record.candidates = tuple(candidate.backend for candidate in choice.candidates)
        record.left_out += choice.left_out

    async def _overflowed(self, going: Going, ask: Ask, choice: Choice, failure: Failure) -> Response | Failure:
        """The provider says that the request is too long: once, the profile for what is."""
        following = self.table.profiles.get(choice.profile.overflow or "")
        if following is None or not following.allows(going.exchange) or going.origin is not None:
            return failure
        other = candidates_of(self.table, following, ask, random.random(), self.failover.loads.of)
        if not other.candidates:
            return failure
        before = going.record.backend
        await guard_request(going, following.guards)
        self._note(going.record, other._replace(rule=choice.rule))
        return await self.failover.answer(going, other.candidates, (before, failure.reason))

    def _conceal(self, exchange: Exchange) -> None:
        """Keep from providers whatever may be a key of the client, and who calls."""
        query = exchange.query
        if query:
            exchange.query = without_parameters(query, _KEYS)
            exchange.query_concealed |= exchange.query != query
        dropped = self.settings.concealed
        exchange.extra_headers = tuple(line for line in exchange.extra_headers if line[0] not in dropped)

    def _affinity(self, exchange: Exchange, request: ModelRequest) -> bytes:
        """What tells sessions apart, whose requests go to the same provider and key."""
        session = request.prompt_cache_key.encode("utf-8", "surrogatepass")
        if not session:
            headers = self.settings.session_headers
            session = next((exchange.fields[name] for name in headers if exchange.fields.get(name)), b"")
        if not session:
            return b""
        identity = exchange.identity
        caller = "" if identity is None else identity.tenant or identity.consumer
        return caller.encode("utf-8", "surrogatepass") + b"\0" + session

    def _listed(self, exchange: Exchange, call: Call) -> Response:
        names, family = offered(self.table, exchange), family_of(exchange, exchange.target_path)
        if not call.model:
            return model_list(family, [ListedModel(name) for name in names])
        name = call.model.removeprefix("models/")
        if name not in names:
            raise self._unknown(exchange, name)
        return model_entry(family, ListedModel(name))

    def _not_offered(self, exchange: Exchange, ask: Ask, choice: Choice) -> GatewayError:
        others = [left.provider for left in choice.left_out if left.reason == "protocol"]
        if not others and ask.model in offered(self.table, exchange):
            detail = f"the model is offered here, but by no provider of the profile {choice.profile.name}"
            return ModelError(ErrorKind.NO_ROUTE, detail, "model_not_found", param="model")
        if not others:
            return self._unknown(exchange, ask.model)
        speaks = sorted({self.table.offers[name].protocol for name in others})
        detail = (
            f"the model is offered in the protocol of {' and '.join(speaks)} only, and requests of {ask.api} are not "
            "translated for it"
        )
        return ModelError(ErrorKind.NO_ROUTE, detail, "model_not_found", param="model")

    def _unknown(self, exchange: Exchange, model: str) -> GatewayError:
        names = offered(self.table, exchange)
        some = ", ".join(names[:20]) + (" and others" if len(names) > 20 else "")
        detail = f"the model `{model[:200]}` is not offered here" + (f"; there are: {some}" if names else "")
        logged = "the request names a model that is not offered"  # it may be anything, also a key
        return ModelError(ErrorKind.NO_ROUTE, detail, "model_not_found", param="model", logged=logged)


def _called(exchange: Exchange) -> Call:
    """The call that a request is. Raises ModelError."""
    call = find_realtime(exchange) if exchange.websocket else find(exchange.method, exchange.target_path)
    if call is None:
        detail = f"there is no API of models at {exchange.method} {exchange.target_path}"
        raise ModelError(ErrorKind.NO_ROUTE, detail, "unknown_url")
    return call


def _allowed(request: ModelRequest, profile: Profile) -> int | None:
    """The limit of the output: what is asked for, as far as the profile lets it."""
    asked, most = request.output_limit, profile.most_output
    return asked if most is None or (asked is not None and asked <= most) else most


def _check_temperature(request: ModelRequest, profile: Profile) -> None:
    least, most = profile.temperature
    if least is most is None:
        return
    config = members(request.document.get("generationConfig", request.document.get("generation_config")))
    value = request.document.get("temperature", config.get("temperature"))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if (least is not None and value < least) or (most is not None and value > most):
        bounds = f"at least {least:g}" if most is None else f"at most {most:g}"
        if least is not None and most is not None:
            bounds = f"between {least:g} and {most:g}"
        detail = f"`temperature` must be {bounds} here"
        raise ModelError(ErrorKind.BAD_REQUEST, detail, "temperature_out_of_bounds", param="temperature")

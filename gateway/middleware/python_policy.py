"""Custom policies, in Python: see docs/writing-middleware.md.

A policy refuses by ending an exchange before it hands it on, by answering with an error of its own where there was
none, or by raising GatewayError, also when it has seen the response; Refusal is one with any status and problem type.
That is recorded like every other decision. In shadow mode it is only recorded. What else a policy raises is its own
failure: the request is refused, because it is not known what the policy would have said. That holds for SystemExit,
KeyboardInterrupt and a CancelledError of the policy's own too: nothing that it raises reaches beyond its request.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Final

from gateway.algorithms.room import Room
from gateway.config.models import RouteConfig
from gateway.config.models.python_policies import PythonPolicy as PythonPolicyConfig
from gateway.config.problems import Problem
from gateway.context import Builder, Context, Middleware
from gateway.custom_code import Event, current_task, hint_of, is_failure, is_library, named, place_of
from gateway.errors import GatewayError, PolicyError, without_frames
from gateway.http import Decision, Exchange, Handler, Response, WholeBody
from gateway.http.decisions import Mode, deny
from gateway.http.problems import problem_for
from gateway.http.validity import check_exchange, check_request, check_response, put_back, repair
from gateway.middleware.declaration import Declaration, Rules
from gateway.middleware.lent import KeptResponse, LentBody, room_for_all

logger = logging.getLogger("gateway.policy")


PLACE: Final = ("middleware.yaml", ("policies",))

_Wrapped = Callable[[Exchange], Awaitable[object]]
"""A handler wrapped by a policy. Only its answer shows whether it keeps to the types."""


@dataclass(frozen=True, slots=True)
class PythonPolicy:
    """A custom policy, and what keeps its failures from other requests."""

    name: str
    policy: Middleware
    mode: Mode
    room: Room | None  # in shadow mode: for bodies that it reads

    def __repr__(self) -> str:
        return f"PythonPolicy({self.name}, {type(self.policy).__name__})"

    @property
    def rule(self) -> str:
        """Its name in decisions."""
        return f"policy:{self.name}"

    def wrap(self, handler: Handler) -> Handler:
        """A handler that asks the policy."""
        wrapped: _Wrapped = self.policy.wrap(_behind(handler))

        async def guarded(exchange: Exchange) -> Response:
            outer, asked = _ASKED.get(), _Asked(exchange, self)
            _ASKED.set(asked)
            try:
                response = check_response(await wrapped(exchange), exchange)
                check_exchange(exchange)
                enforced, reason = self.mode == "enforce", f"the policy answered {response.status}"
                if asked.failed or (response.status < 400 and (asked.reached or enforced)):
                    asked.let_go(response)
                    return response
                exchange.decisions += (Decision(self.rule, "deny" if enforced else "shadow-deny", reason),)
                if enforced:
                    return response
            except BaseException as error:
                repair(exchange, asked.former)
                if not is_failure(error):
                    raise
                self._raised(asked, error)
            finally:
                _ASKED.set(outer)
                exchange.deferred = asked.former.deferred  # whatever the policy made of it
                asked.take_back()
            asked.go_on()
            return await asked.answer() or await handler(exchange)

        return guarded

    def _raised(self, asked: _Asked, error: BaseException) -> None:
        """Raise what is to come of an error; nothing in shadow mode, where the exchange goes on without the policy."""
        if error is asked.failure:
            raise error
        raised = error
        if not isinstance(error, GatewayError) or not _can_be_sent(error, asked.exchange):
            name, request, place = self.name, asked.exchange.request_id, f"{self._place(error)}{hint_of(error)}"
            logger.error("policy %s failed on request %s at %s", name, request, place, exc_info=error)
            detail = f'policy "{name}" failed; see the log under this id'
            error = PolicyError(detail, f"{named(error)} at {place}")
        else:
            error.public_detail = None  # its text is meant for the client, whatever its kind
            error.headers = tuple((name.lower(), value) for name, value in error.headers)
        deny(asked.exchange, self.rule, error, self.mode)
        without_frames(raised)
        if asked.response is None and asked.failure is not None:
            raise asked.failure  # asking once more would send the request twice

    def _place(self, error: BaseException) -> str:
        """File and line of an error; of what was returned and cannot be sent, those of the policy's `wrap`."""
        place, code = place_of(error), getattr(getattr(type(self.policy), "wrap", None), "__code__", None)
        return f"{code.co_filename}:{code.co_firstlineno}" if is_library(place) and code is not None else place

    @property
    def explains(self) -> bool:
        """Whether the policy can say what it would do."""
        return hasattr(self.policy, "explain")

    async def explain(self, exchange: Exchange) -> Decision | None:
        """The explanation of the policy, if it has one."""
        try:
            explain = getattr(self.policy, "explain", None)
            said: object = None if explain is None else await explain(exchange)
            if said is not None and not isinstance(said, Decision):
                raise TypeError(f"explain returned {said!r}, which is no Decision")
        except GatewayError as error:
            return Decision(self.rule, "deny" if self.mode == "enforce" else "shadow-deny", error.reason)
        except BaseException as error:
            if not is_failure(error):
                raise
            reason = f"its explain failed: {type(error).__name__} at {place_of(error)}"
            logger.exception("policy %s: %s", self.name, reason)
            return Decision(self.rule, "unknown", reason)
        return said


class _Asked:
    """A policy is asked about an exchange: what came of handing it on, the last time that it did."""

    __slots__ = (
        "came",
        "exchange",
        "failed",
        "failure",
        "former",
        "kept",
        "lent",
        "over",
        "policy",
        "reached",
        "response",
        "room",
        "task",
    )

    def __init__(self, exchange: Exchange, policy: PythonPolicy) -> None:
        self.exchange = exchange
        self.former = copy(exchange)
        self.policy = policy.name
        self.room = policy.room
        self.lent: LentBody | None = None  # in the place of the request body
        if exchange.body is not None:
            exchange.body = self.lent = LentBody(exchange.body, self.room)
        if self.room is not None:  # what is changed in its place can be put back, too
            exchange.headers, exchange.fields = exchange.headers.copy(), exchange.fields.copy()
            exchange.parameters = dict(exchange.parameters)
            exchange.defer(self.forget)
        self.task = current_task()
        self.over = False  # it has refused, and the request goes on without it
        self.reached = False
        self.failed = False  # with an error, or a response that is one; any of the times that it did
        self.failure: BaseException | None = None
        self.response: Response | None = None  # in shadow mode
        self.kept: KeptResponse | None = None  # in shadow mode, that response as it came
        self.came: Event | None = None  # where it is handed on in another task: that anything came of it

    def hand_on(self, exchange: Exchange) -> None:
        """The policy calls the handler: it has done what it does to the request body."""
        if self.lent is not None:
            if exchange.body is self.lent:
                exchange.body = self.lent.handed_on(self.policy, exchange.request_id)
            self.lent.let_go()
        self.let_go()
        self.response = None  # of an earlier time, which the policy may have changed

    def take_back(self) -> None:
        """The policy is over. In shadow mode the request may go on without it, with all of its body."""
        if self.lent is not None and (self.exchange.body is self.lent or self.exchange.body is self.former.body):
            self.exchange.body = self.lent.restored()

    def go_on(self) -> None:
        """The policy has refused in shadow mode: where it has not handed the request on, that is as if nobody had been
        asked."""
        self.over = True
        if not self.reached:
            put_back(self.exchange, self.former)
            self.exchange.body = self.former.body if self.lent is None else self.lent.restored()

    def answered(self, response: Response) -> None:
        """This came of it."""
        self.failed |= response.status >= 400
        if self.room is not None:
            self.let_go()
            self.response = response
            self.kept = KeptResponse(response, self.room)

    def failed_with(self, error: BaseException) -> None:
        """This came of it, up to the end of the request."""
        self.failure, self.failed = error, True
        self.exchange.defer(partial(without_frames, error))

    def let_go(self, passed: Response | None = None) -> None:
        """Keep the response for the case of a refusal no longer."""
        if self.kept is not None:
            self.kept.let_go(passed)
            self.kept = None

    def forget(self) -> None:
        """The request is over. Connections to backends, which stay open, have been opened in its context, with this."""
        self.let_go()
        self.response = self.failure = None
        if self.lent is not None:
            self.lent.let_go()

    async def answer(self) -> Response | None:
        """What would be the answer without the policy; None where that is not known. Raises what came instead of it."""
        if self.came is not None and self.response is None:
            await self.came.wait()
            if self.response is None and self.failure is not None:
                raise self.failure
        return self.response if self.kept is None else self.kept.restored()


_ASKED: ContextVar[_Asked | None] = ContextVar("gateway_policy", default=None)
"""The innermost policy that is being asked; tasks that it starts know it too."""


def _behind(handler: Handler) -> Handler:
    """The handler that a policy is given. What runs behind it ends with the exchange."""

    async def behind(exchange: Exchange) -> Response:
        asked = _ASKED.get()
        if asked is None:  # not within a request
            return await handler(exchange)
        if asked.over:  # in a task: the request would be sent twice
            raise RuntimeError("the policy has refused the request, which goes on without it")
        exchange.deferred = asked.former.deferred  # also that of a copy, or of one that the policy made itself
        task = current_task()
        came = None
        if task is not None and task is not asked.task:
            exchange.defer(task.cancel)
            came = Event()
        check_request(exchange)
        if isinstance(exchange.body, WholeBody):
            _announce(exchange, exchange.body)
        asked.reached, asked.came = True, came
        asked.hand_on(exchange)
        sent = exchange if came is None else _apart(exchange)
        try:
            response = await handler(sent)
            asked.answered(response)
        except BaseException as error:
            asked.failed_with(error)
            raise
        finally:
            if sent is not exchange:
                _take_back(exchange, sent)
            if exchange is not asked.exchange:
                _take_over(asked.exchange, exchange)
            if came is not None:
                came.set()
        return response

    return behind


def _announce(exchange: Exchange, body: WholeBody) -> None:
    """Have the backend be told how long the body is that a policy has put in the place of the client's."""
    length = [] if body.trailers else [(b"content-length", b"%d" % body.size)]  # with trailers, it is sent in chunks
    exchange.headers = [line for line in exchange.headers if line[0] != b"content-length"] + length
    exchange.fields = {**exchange.fields, **dict(length)}
    if not length:
        exchange.fields.pop(b"content-length", None)


def _apart(exchange: Exchange) -> Exchange:
    """A copy for another task, in which the request is sent: what the policy changes meanwhile is not looked at, and
    must not be in it. What came of it by the end of the request is known to the original."""
    sent = copy(exchange)
    sent.headers, sent.fields = exchange.headers.copy(), exchange.fields.copy()
    sent.parameters = dict(exchange.parameters)
    exchange.defer(partial(_take_back, exchange, sent))
    return sent


def _take_back(exchange: Exchange, sent: Exchange) -> None:
    """Have the exchange know all that those behind the policy have found out."""
    _take_over(exchange, sent)
    exchange.counted += sent.counted[len(exchange.counted) :]
    for name in ("identity", "claimed_consumer", "trace_id", "span", "error"):
        if getattr(exchange, name) is None:
            setattr(exchange, name, getattr(sent, name))


def _take_over(asked: Exchange, handed_on: Exchange) -> None:
    """Have the request know what came of it where the policy has handed on a copy, or an exchange of its own."""
    known = {*map(id, asked.attempts), *map(id, asked.decisions)}
    asked.attempts += tuple([each for each in handed_on.attempts if id(each) not in known])
    asked.decisions += tuple([each for each in handed_on.decisions if id(each) not in known])
    asked.upstream = handed_on.upstream or asked.upstream
    asked.cache = handed_on.cache or asked.cache
    asked.model = handed_on.model or asked.model


def _can_be_sent(error: GatewayError, exchange: Exchange) -> bool:
    """Whether a response can be made of a refusal: a policy may have put anything into it."""
    try:
        check_response(problem_for(error, exchange), exchange)
    except Exception:
        return False
    return True


def _builders(context: Context, alone: Collection[str]) -> tuple[dict[str, Builder], list[Problem]]:
    """The builder of each policy that can be used, by its name, and what is wrong with the others."""
    made: dict[str, Builder] = {}
    problems: list[Problem] = []
    if not context.configuration.middleware.policies:
        return made, problems
    from gateway.middleware.policy_loading import PolicyError, load  # noqa: PLC0415  for those who have one

    for name, config in context.configuration.middleware.policies.items():
        try:
            made[name] = partial(_for_route, name, config, load(name, config, context))
        except PolicyError as error:
            problems += error.problems
    return made, list(dict.fromkeys(problems))


def _for_route(
    name: str, config: PythonPolicyConfig, policy: Middleware, context: Context, route: RouteConfig
) -> PythonPolicy | None:
    if not config.applies_to(route.id):
        return None
    room = context.plan.need(("policies.room",), room_for_all, PLACE) if config.mode == "shadow" else None
    return PythonPolicy(name, policy, config.mode, room)


DECLARATION: Final[Declaration] = Declaration("policies", Rules(_builders))

"""Policies of one's own, in Python: see docs/writing-middleware.md.

A policy refuses by ending an exchange before it hands it on, or by raising GatewayError when it has seen the response.
That is recorded like every other decision. In shadow mode it is only recorded. What else a policy raises is its own
failure: the request is refused, because nobody knows what the policy would have said.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial

from gateway.config.models import RouteConfig
from gateway.config.models.python_policies import PythonPolicy as PythonPolicyConfig
from gateway.config.problems import Problem
from gateway.context import Builder, Context, Middleware
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Decision, Exchange, Handler, Response
from gateway.http.decisions import Mode, deny
from gateway.middleware.policy_loading import PolicyError, load

logger = logging.getLogger("gateway.policy")


@dataclass(frozen=True, slots=True)
class PythonPolicy:
    """Somebody else's policy, and a guard around it."""

    name: str
    policy: Middleware
    mode: Mode

    def __repr__(self) -> str:
        return f"PythonPolicy({self.name}, {type(self.policy).__name__})"

    @property
    def rule(self) -> str:
        """What decisions call it."""
        return f"policy:{self.name}"

    def wrap(self, handler: Handler) -> Handler:
        """A handler that asks the policy."""
        behind = _Behind(handler)
        wrapped = self.policy.wrap(behind)

        async def guarded(exchange: Exchange) -> Response:
            behind.expect(exchange)
            try:
                response = await wrapped(exchange)
                if not behind.reached(exchange) and (self.mode == "shadow" or response.status >= 400):
                    return await self._answered(exchange, response, behind)
            except Exception as error:
                return await self._raised(exchange, error, behind)
            finally:
                behind.forget(exchange)
            return response

        return guarded

    async def _answered(self, exchange: Exchange, response: Response, behind: _Behind) -> Response:
        """It has answered itself, and not handed the exchange on."""
        enforced, reason = self.mode == "enforce", f"the policy answered {response.status}"
        exchange.decisions += (Decision(self.rule, "deny" if enforced else "shadow-deny", reason),)
        return response if enforced else await behind(exchange)

    async def _raised(self, exchange: Exchange, error: Exception, behind: _Behind) -> Response:
        if behind.failed(exchange):
            raise error
        if not isinstance(error, GatewayError):
            logger.error("policy %s failed on request %s", self.name, exchange.request_id, exc_info=error)
            error = GatewayError(ErrorKind.INTERNAL, f'policy "{self.name}" failed; see the log under this id')
        deny(exchange, self.rule, error, self.mode)
        return behind.response(exchange) or await behind.handler(exchange)

    async def explain(self, exchange: Exchange) -> Decision | None:
        """What the policy says, where it can say."""
        explain = getattr(self.policy, "explain", None)
        return None if explain is None else await explain(exchange)


class _Behind:
    """The handler behind a policy. It knows, of the exchanges under way, which were handed on, and what came back."""

    __slots__ = ("_under_way", "handler")

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self._under_way: dict[int, Response | bool] = {}  # whether it was handed on, then what came back

    async def __call__(self, exchange: Exchange) -> Response:
        known = id(exchange) in self._under_way  # a policy may hand on an exchange that it made itself
        if known:
            self._under_way[id(exchange)] = True
        response = await self.handler(exchange)
        if known:
            self._under_way[id(exchange)] = response
        return response

    def expect(self, exchange: Exchange) -> None:
        """The policy is asked about this exchange now."""
        self._under_way[id(exchange)] = False

    def reached(self, exchange: Exchange) -> bool:
        """Whether it was handed on."""
        return self._under_way[id(exchange)] is not False

    def failed(self, exchange: Exchange) -> bool:
        """Whether it was handed on, and nothing came back."""
        return self._under_way[id(exchange)] is True

    def response(self, exchange: Exchange) -> Response | None:
        """What came back."""
        state = self._under_way[id(exchange)]
        return None if isinstance(state, bool) else state

    def forget(self, exchange: Exchange) -> None:
        """The exchange is over."""
        del self._under_way[id(exchange)]


def builders(context: Context) -> tuple[dict[str, Builder], list[Problem]]:
    """The builder of each policy that can be used, by its name, and what is wrong with the others."""
    made: dict[str, Builder] = {}
    problems: list[Problem] = []
    for name, config in context.configuration.middleware.policies.items():
        try:
            made[name] = partial(_for_route, name, config, load(name, config, context))
        except PolicyError as error:
            problems += error.problems
    return made, list(dict.fromkeys(problems))


def _for_route(
    name: str, config: PythonPolicyConfig, policy: Middleware, context: Context, route: RouteConfig
) -> PythonPolicy | None:
    return PythonPolicy(name, policy, config.mode) if config.applies_to(route.id) else None


def for_route(context: Context, route: RouteConfig) -> Middleware | None:
    """None: this holds the place in the stack; each policy has a builder of its own, which `arrange` puts there."""
    return None

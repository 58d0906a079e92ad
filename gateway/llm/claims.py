"""The claims of a request on budgets, taken from all of them together, or from none.

Where a store does not answer, each budget does what its `on_failure` says: `open` lets pass, `closed` answers 503, and
`local` reserves by what this process knows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, Literal

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Decision, Exchange
from gateway.http.decisions import Mode, deny
from gateway.limits.holds import HoldStore, Line, LocalHolds, Room
from gateway.limits.ledger import Ledger
from gateway.llm.estimate import OutputReserve
from gateway.llm.prices import USUAL, Tier
from gateway.plurals import counted

Unit = Literal["tokens", "micros", "requests"]
OnFailure = Literal["open", "closed", "local"]
Backend = tuple[str, str]
"""A provider, and the model as it is called there."""

SPARE_SECONDS: Final = 60.0  # that a hold is kept beyond the deadline of its request
LONGEST_SECONDS: Final = 7 * 86400.0  # of a hold, where requests have no deadline
RETRY_SECONDS: Final = 1  # where the store does not answer
NEAR: Final = 0.8  # of a limit, from which on it is noted who has used so much
HELD_SECONDS: Final = 5  # where holds of others stand in the way: they are settled soon


@dataclass(frozen=True, slots=True)
class Wanted:
    """The properties of a request to a model that decide what is reserved."""

    backends: tuple[Backend, ...]  # that may answer, the first one first
    route: str
    profile: str
    input_tokens: int  # estimated
    output_limit: int | None  # what the request allows, or else its profile; None: neither says
    seconds: float = math.inf  # until its deadline
    asked: str = ""  # the model, as the client named it
    tier: Tier = USUAL  # that it asks for
    background: bool = False  # nobody will count what its answer takes
    unbounded: str = ""  # of such a one: the member for which it does not say how much that may be
    generates: bool = True  # its answer has output tokens
    choices: int = 1  # answers that it asks for, each as long as the limit
    caller: str = ""  # of whom estimates are learned apart
    input_bytes: int | None = None  # of which the input is estimated; None: it is not


@dataclass(frozen=True, slots=True)
class Limit:
    """How much of one budget in one window. `ledger` has what is used."""

    unit: Unit
    amount: int
    window: str  # in words: "day"
    ledger: Ledger

    def shown(self, amount: int) -> str:
        """An amount in words: `1200 tokens`, `$0.25`."""
        if self.unit == "micros":
            return f"${Decimal(amount).scaleb(-6).normalize():f}"
        return counted(amount, self.unit.removesuffix("s"))


@dataclass(frozen=True, slots=True)
class Budget:
    """One budget of the configuration, compiled. `by_backend`: it depends on the provider or model that is tried."""

    name: str
    mode: Mode
    key: Callable[[Exchange, Wanted, Backend], str]
    by_backend: bool
    applies: Callable[[Wanted, Backend], bool] | None  # None: to all requests
    limits: tuple[Limit, ...]
    output: OutputReserve
    charge: Literal["delivered", "attempts"]
    on_failure: OnFailure
    store: HoldStore

    @property
    def rule(self) -> str:
        """As decisions call it."""
        return f"budget:{self.name}"


@dataclass(frozen=True, slots=True)
class Claim:
    """The claim of one request on one limit."""

    budget: Budget
    limit: Limit
    line: Line


class Refused(GatewayError):
    """A budget does not let a request pass. Amounts are in `unit`."""

    def __init__(
        self,
        kind: ErrorKind,
        detail: str,
        budget: str,
        *,
        after: int = 0,
        unit: Unit | None = None,
        needed: int = 0,
        left: int = 0,
        public_detail: str | None = None,
    ) -> None:
        fields = ((b"retry-after", b"%d" % after),) if after else ()
        members: dict[str, object] = {"violated-policies": [budget]}
        if unit is not None:
            members |= {"unit": unit, "needed": needed, "left": left}
        super().__init__(kind, detail, headers=fields, members=members, public_detail=public_detail)
        self.budget = budget
        self.retry_after = after  # seconds; 0: waiting does not help
        self.unit = unit
        # Not for a moment only, as where requests in flight hold what is left: OpenAI calls that `insufficient_quota`.
        self.is_used_up = unit is not None and not 0 < after <= HELD_SECONDS
        self.needed = needed  # the hold that would have been needed
        self.left = left


class Part:
    """The part of a hold in one store."""

    __slots__ = ("claims", "id", "store")

    def __init__(self, store: HoldStore, hold: str, claims: Sequence[Claim]) -> None:
        self.store = store
        self.id = hold
        self.claims = claims

    def settle(self, amount: Callable[[Claim], int]) -> None:
        """The request is over, and used so much of each."""
        self.store.settle(self.id, [claim.line for claim in self.claims], [amount(claim) for claim in self.claims])


async def place(parts: list[Part], name: str, exchange: Exchange, claims: Sequence[Claim], seconds: float) -> None:
    """Reserve all claims, for so long and a little more, and add what is in each store to `parts`.

    Raises Refused. What was added until then is for the caller to give back.
    """
    lasting = min(max(seconds, 0.0), LONGEST_SECONDS) + SPARE_SECONDS
    for number, (store, mine) in enumerate(_by_store(claims)):
        part = Part(store, f"{name}.{number}", mine)
        parts.append(part)
        lines = [claim.line for claim in mine]
        reservation = await store.reserve(part.id, lines, lasting)
        if reservation is None:
            for budget in {claim.budget.name: claim.budget for claim in mine}.values():
                if budget.on_failure == "closed":
                    detail = f"the store of the budget {budget.name} does not answer"
                    error = Refused(ErrorKind.STORE_UNAVAILABLE, detail, budget.name, after=RETRY_SECONDS)
                    deny(exchange, budget.rule, error, budget.mode)
            part.id += "~"  # the store may have placed the other one, though its answer was lost
            part.claims = [_by_failure(claim) for claim in mine]
            reservation = store.assume(part.id, [claim.line for claim in part.claims], lasting)
        if not reservation.fits:
            parts.pop()
        _check_rooms(exchange, part.claims, reservation.rooms)


def _by_store(claims: Sequence[Claim]) -> Iterator[tuple[HoldStore, list[Claim]]]:
    """Claims that are decided together. Stores in this process come first, because they cost nothing."""
    if len(claims) == 1:
        yield claims[0].budget.store, list(claims)
        return
    stores = {id(claim.budget.store): claim.budget.store for claim in claims}
    for store in sorted(stores.values(), key=lambda store: not isinstance(store, LocalHolds)):
        yield store, [claim for claim in claims if claim.budget.store is store]


def _by_failure(claim: Claim) -> Claim:
    enforced = claim.line.enforced and claim.budget.on_failure == "local"
    return replace(claim, line=replace(claim.line, enforced=enforced))


def _check_rooms(exchange: Exchange, claims: Sequence[Claim], rooms: Sequence[Room]) -> None:
    """Raises Refused where there was no room, with the longest time until there is."""
    refused: list[Refused] = []
    for claim, room in zip(claims, rooms, strict=True):
        if room.used >= claim.line.limit * NEAR:
            claim.line.ledger.note_near(claim.line.key, room.used, claim.line.limit)
        if room.used + room.held + claim.line.amount > claim.line.limit:
            error = _refusal(claim, room)
            if claim.line.enforced:
                refused.append(error)
            elif claim.budget.mode == "shadow":
                deny(exchange, claim.budget.rule, error, "shadow")
    if refused:
        error = max(refused, key=lambda error: error.retry_after or math.inf)  # 0: waiting does not help
        deny(exchange, f"budget:{error.budget}", error)


def _refusal(claim: Claim, room: Room) -> Refused:
    budget, limit, needed = claim.budget, claim.limit, claim.line.amount
    left = max(0, limit.amount - room.used - room.held)
    after = limit.ledger.seconds_left()
    if needed > limit.amount:
        after = 0
        missing = ", more than it ever has: send a shorter request, or a lower output limit"
    else:
        if room.used + needed <= limit.amount:
            after = min(after, HELD_SECONDS)
        missing = f"; again in {after} s"
        if left and limit.unit != "requests":
            missing += ", or at once with a shorter request or a lower output limit"
    detail = (
        f"the budget {budget.name} ({limit.shown(limit.amount)} per {limit.window}) has {limit.shown(left)} left, "
        f"and this request needs {limit.shown(needed)}{missing}"
    )
    return Refused(
        ErrorKind.QUOTA_EXCEEDED, detail, budget.name, after=after, unit=limit.unit, needed=needed, left=left
    )


def explained(claim: Claim) -> Decision:
    """The state of a budget after a claim on one of its limits, as far as this process knows."""
    budget, limit, room = claim.budget, claim.limit, claim.budget.store.room(claim.line)
    if room.used + room.held + claim.line.amount > claim.line.limit:
        return Decision(budget.rule, "deny" if claim.line.enforced else "shadow-deny", _refusal(claim, room).detail)
    left = limit.shown(limit.amount - room.used - room.held)
    reason = f"{limit.shown(claim.line.amount)} would be reserved, of {left} that are left per {limit.window}"
    return Decision(budget.rule, "allow", reason)

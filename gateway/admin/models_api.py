"""Models in the admin API: `GET /models/usage`, and `DELETE /models/budgets?consumer=NAME&budget=NAME`."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from heapq import nlargest
from typing import TYPE_CHECKING, Any, Final, cast

from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.answers import Refused, json_answer, loaded
from gateway.admin.counted_callers import CALLER, CountedCaller, caller_of
from gateway.admin.operations import Operation, Parameter
from gateway.algorithms.percentiles import Sketch
from gateway.limits.holds import Line
from gateway.monitor.model_traffic import SUMS, Used
from gateway.reload import Reloader
from gateway.snapshot import Snapshot

if TYPE_CHECKING:
    from gateway.llm.claims import Budget, Limit
    from gateway.llm.money import Money
    from gateway.llm.usage_table import Subject

logger = logging.getLogger("gateway.limits")

MOST_CALLERS: Final = 100  # of one limit that are shown
MOST_ESTIMATES: Final = 200
MOST_LEFT_ALONE: Final = 200
_OF_CALLERS: Final = frozenset({"consumer", "tenant"})
_PIECE: Final = re.compile(r"(\d{1,4}):", re.ASCII)


def models_operations(reloader: Reloader) -> list[Operation]:
    """Operations on usage and costs of models."""
    api = _Api(reloader)
    consumer = Parameter("consumer", "Only this consumer.")
    shown = (
        Parameter("by", "tenant, consumer or model: the grouping of the sums; default: model.", repeated=True),
        consumer,
        Parameter("tenant", "Only this tenant."),
        Parameter("model", "Only this model, as provider/model."),
    )
    refusals = {400: "it asks for something else", 404: "there are no models"}
    return [
        Operation(
            "GET",
            "/models/usage",
            api.usage,
            "Tokens and money used by models, the rest of budgets, and the accuracy of size estimates.",
            shown,
            refusals=refusals,
            description="Sums are of this process, since it began (`since`). Of each budget those callers are shown "
            "that have used most, as far as this process knows, or, with `consumer`, that one. `held` is what requests "
            "under way reserve here. `speeds` are of streamed answers, `switches` of requests that went on to another "
            "backend, and `left_alone` lists providers that get no requests now, and why.",
        ),
        Operation(
            "DELETE",
            "/models/budgets",
            api.reset,
            "Reset a consumer or tenant in the current windows of its budgets.",
            (*CALLER, Parameter("budget", "Only this budget.")),
            refusals={
                400: "it names nobody",
                404: "unknown budget, or nothing is counted under an unknown name",
                503: "the store does not answer",
            },
        ),
    ]


class _Api:
    def __init__(self, reloader: Reloader) -> None:
        self._reloader = reloader

    async def usage(self, request: Request) -> Response:
        snapshot = loaded(self._reloader)
        money = _money(snapshot)
        # Whoever has models has imported these. They are a tenth of all modules.
        from gateway.llm.prices import snapshot_date  # noqa: PLC0415
        from gateway.llm.usage_table import SUBJECTS  # noqa: PLC0415

        by = cast("list[Subject]", request.query_params.getlist("by") or ["model"])
        if unknown := set(by) - set(SUBJECTS):
            raise Refused(400, f"sums are by tenant, consumer or model, not by {sorted(unknown)[0]}")
        asked = [(subject, request.query_params[subject]) for subject in SUBJECTS if subject in request.query_params]
        table, tally = money.usage, money.budgets.tally
        rows = table.by(by, asked)
        asks = any(request.query_params.get(which) for which in ("consumer", "tenant"))
        caller = caller_of(snapshot, request) if asks else None
        return json_answer(
            {
                "since": _time(table.since),
                "usage": [dict(zip(by, names, strict=True)) | _used(used) for names, used in rows.items()],
                "reserved": {"requests": tally.open, "tokens": tally.tokens, "usd": _usd(tally.micros)},
                "overshoot": {"tokens": tally.overshoot_tokens, "usd": _usd(tally.overshoot_micros)},
                "refused": tally.refused,
                "speeds": _speeds(money),
                "switches": _switches(money),
                "left_alone": _left_alone(self._reloader),
                "budgets": [shown async for shown in _budgets(snapshot, money, caller)],
                "estimates": _estimates(money),
                "prices": {
                    "of": snapshot_date(datetime.now(UTC).date()).isoformat(),
                    "unpriced": money.prices.unpriced,
                    "warnings": money.prices.warnings(),
                },
            }
        )

    async def reset(self, request: Request) -> Response:
        snapshot = loaded(self._reloader)
        caller, only = caller_of(snapshot, request), request.query_params.get("budget")
        budgets = [each for each in _money(snapshot).budgets.budgets if only in (None, each.name)]
        asked = [(each, key) for each in budgets if (key := _key(snapshot, each, caller)) is not None]
        if not asked:
            raise Refused(404, _nothing_to_reset(snapshot, budgets, caller, only))
        if not caller.is_known and not await _counted(asked):
            raise caller.nothing_counted()
        done = []
        for budget, key in asked:
            for limit in budget.limits:
                forgiven = await limit.ledger.reset(key)
                if forgiven is None:
                    reason = f"the store of the budget {budget.name} does not answer"
                    raise Refused(503, f"{reason}: gateway status says why; try again when it does")
                done.append({"budget": budget.name, "window": limit.window} | _amount(limit, "forgiven", forgiven))
        said = ", ".join(sorted({each["budget"] for each in done}))
        logger.warning("budgets of %s were reset: %s", caller.name, said)
        return json_answer({"consumer": caller.consumer, "tenant": caller.tenant, "reset": done})


async def _counted(asked: Iterable[tuple[Budget, str]]) -> bool:
    """Whether anything is counted in one of these; also where that is not known."""
    for budget, key in asked:
        for limit in budget.limits:
            await limit.ledger.refresh([key])
            if limit.ledger.used(key) != 0:
                return True
    return False


def _nothing_to_reset(snapshot: Snapshot, budgets: Iterable[Budget], caller: CountedCaller, only: str | None) -> str:
    reasons = (caller.lacks(_parts(snapshot, each)) for each in budgets if _of_caller(snapshot, each))
    if lacking := next((reason for reason in reasons if reason is not None), None):
        return f"there is nothing of {caller.name} to reset: {lacking}"
    return f"no budget{'' if only is None else ' of this name'} counts by consumer or tenant alone"


def _money(snapshot: Snapshot) -> Money:
    if snapshot.money is None:
        raise Refused(404, "there are no models: write models.yaml")
    return snapshot.money


async def _budgets(snapshot: Snapshot, money: Money, caller: CountedCaller | None) -> Any:
    for budget in money.budgets.budgets:
        key = None if caller is None else _key(snapshot, budget, caller)
        if caller is not None and key is None:
            continue
        for limit in budget.limits:
            callers = [(caller.name, key)] if caller and key else [(each, each) for each in _largest(budget, limit)]
            await limit.ledger.refresh([key for _, key in callers])
            yield {
                "budget": budget.name,
                "mode": budget.mode,
                "key": list(_parts(snapshot, budget)),
                "window": limit.window,
                "resets": _time(limit.ledger.span().ends),
                **_amount(limit, "limit", limit.amount),
                "callers": [{"caller": _shown(name)} | _state(budget, limit, key) for name, key in callers],
            }


def _largest(budget: Budget, limit: Limit) -> list[str]:
    """The callers that have used most, or hold most, now."""
    taken = dict(limit.ledger.largest(MOST_CALLERS))
    for key, held in budget.store.holding(limit.ledger).items():
        taken[key] = taken.get(key, 0) + held
    return nlargest(MOST_CALLERS, taken, key=taken.__getitem__)


def _state(budget: Budget, limit: Limit, key: str) -> dict[str, Any]:
    used, held = budget.store.room(Line(limit.ledger, key, limit.ledger.span(), limit.amount, 0, enforced=False))
    left = max(0, limit.amount - used - held)
    return _amount(limit, "used", used) | _amount(limit, "held", held) | _amount(limit, "left", left)


def _parts(snapshot: Snapshot, budget: Budget) -> tuple[str, ...]:
    models = snapshot.configuration.models
    return () if models is None else models.budgets[budget.name].key


def _of_caller(snapshot: Snapshot, budget: Budget) -> bool:
    """Whether it follows from who the consumer is what a budget counts it by."""
    return _OF_CALLERS.issuperset(_parts(snapshot, budget))


def _key(snapshot: Snapshot, budget: Budget, caller: CountedCaller) -> str | None:
    """Under which a request of the caller would count; None where that does not follow from who it is."""
    from gateway.llm.claims import Wanted  # noqa: PLC0415  as above

    if not _of_caller(snapshot, budget) or caller.lacks(_parts(snapshot, budget)) is not None:
        return None
    return budget.key(caller.exchange(), Wanted((), "", "", 0, None), ("", ""))


def _shown(key: str) -> str:
    """The key of a counter as people read it: `acme`, or `acme / small` where several things make it up."""
    pieces = list(_pieces(key)) or [key]
    return " / ".join(piece[1:] if piece[:1] in ("=", "@") else piece for piece in pieces)


def _pieces(key: str) -> Iterator[str]:
    at = 0
    while match := _PIECE.match(key, at):
        at = match.end() + int(match[1])
        yield key[match.end() : at]


def _amount(limit: Limit, name: str, value: int) -> dict[str, Any]:
    """`{"limit_usd": "50"}`, `{"used_tokens": 7}`."""
    if limit.unit == "micros":
        return {f"{name}_usd": _usd(value)}
    return {f"{name}_{limit.unit}": value}


def _usd(micros: int) -> str:
    return f"{micros // 10**6}.{micros % 10**6:06d}"


def _used(used: Used) -> dict[str, Any]:
    counts = {name: getattr(used, name) for name in SUMS if name != "cost_micros"}
    return dict(sorted(counts.items(), key=lambda each: each[0] != "requests")) | {"cost_usd": _usd(used.cost_micros)}


def _estimates(money: Money) -> list[dict[str, Any]]:
    known = list(money.estimator.known().items())[-MOST_ESTIMATES:]
    return [
        {
            "model": model,
            "route": route,
            "tokens_per_byte": round(estimate.ratio, 4),
            "error": round(estimate.error, 4),
            "reports": estimate.reports,
            "output_p95": estimate.output_p95,
        }
        for (model, route), estimate in reversed(known)
    ]


def _speeds(money: Money) -> list[dict[str, Any]]:
    """How fast streamed answers came, by model: seconds to the first content, and tokens of output per second."""
    return [
        {
            "model": name,
            "streams": speed.first.count,
            "first_token_p50": _rounded(speed.first, 0.5),
            "first_token_p95": _rounded(speed.first, 0.95),
            "tokens_per_second_p50": _rounded(speed.rate, 0.5),
        }
        for name, speed in money.traffic.speeds.items()
    ]


def _rounded(sketch: Sketch, q: float) -> float | None:
    return round(sketch.quantile(q), 4) if sketch.count else None


def _switches(money: Money) -> list[dict[str, Any]]:
    ordered = sorted(money.traffic.switches.items(), key=lambda each: -each[1])
    return [{"from": origin, "to": to, "reason": why, "requests": count} for (origin, to, why), count in ordered]


def _left_alone(reloader: Reloader) -> list[dict[str, Any]]:
    """Providers that get no requests now; without a model: none at all by one of their keys."""
    from gateway.llm.cooldown import Cooldowns  # noqa: PLC0415  as above

    now = asyncio.get_running_loop().time()
    paused = [each for cooldowns in reloader.owner.all(Cooldowns) for each in cooldowns.paused(now)]
    return [
        {"provider": way.provider, "key": way.key, "model": way.model, "seconds": round(left, 1), "reason": why}
        for way, left, why in sorted(paused, key=lambda each: -each[1])[:MOST_LEFT_ALONE]
    ]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")

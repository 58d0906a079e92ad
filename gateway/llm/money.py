"""Budgets, prices and estimates of a configuration, from models.yaml."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from gateway.algorithms.calendar_windows import Length
from gateway.algorithms.globs import Glob
from gateway.config.models import Configuration
from gateway.config.models.llm.budgets import Budget as BudgetConfig
from gateway.config.models.llm.budgets import BudgetLimit
from gateway.config.models.llm.file import ModelsFile
from gateway.config.models.llm.tool_quotas import ToolQuota as ToolQuotaConfig
from gateway.config.problems import Fault
from gateway.context import Context
from gateway.http import Exchange
from gateway.limits.holds import HoldStore, LocalHolds
from gateway.limits.keys import LONGEST, Key, compile_key, digest
from gateway.limits.ledger import Book, Ledger
from gateway.limits.memory_book import MemoryBook
from gateway.limits.redis_book import RedisBook
from gateway.limits.redis_holds import RedisHolds
from gateway.limits.sqlite_book import SqliteBook
from gateway.live import Place
from gateway.llm.budget import Budgets, Tally
from gateway.llm.claims import Backend, Budget, Limit, Unit, Wanted
from gateway.llm.estimate import Estimator
from gateway.llm.price_file import read_prices
from gateway.llm.prices import MICRO, Price, Prices, Rates, Seller
from gateway.llm.tool_quotas import ToolQuota, ToolQuotas
from gateway.llm.usage_table import UsageTable
from gateway.monitor.model_traffic import SERVICE as MODEL_TRAFFIC
from gateway.monitor.model_traffic import ModelTraffic
from gateway.outside.redis_link import redis_identity, redis_link

logger = logging.getLogger("gateway.llm")

MOST_DOUBTS: Final = 1000
PLACE: Final[Place] = ("models.yaml", ("budgets",))
OF_BACKEND: Final = frozenset({"provider", "model"})

Part = Callable[[Exchange, Wanted, Backend], str]


class Doubts:
    """Backends that report a usage that cannot be. Each is in the log once."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def note(self, backend: str) -> None:
        """This one does."""
        if backend not in self._known and len(self._known) < MOST_DOUBTS:
            self._known.add(backend)
            said = "%s reports a usage that cannot be: no whole number of tokens, or far too many; it is estimated"
            logger.warning(said, backend)


@dataclass(frozen=True, slots=True)
class Money:
    """Counters of requests to models."""

    budgets: Budgets
    estimator: Estimator
    prices: Prices
    tools: ToolQuotas
    usage: UsageTable
    traffic: ModelTraffic
    doubts: Doubts
    caller: Key  # of whom estimates are learned apart

    def over(self, exchange: Exchange) -> None:
        """A request is over, and its record complete: count what it used, and the tools that its answer calls."""
        if self.tools.quotas:
            self.tools.count(exchange)
        self.usage.add(exchange)
        self.traffic.add(exchange)


def money_of(context: Context) -> Money:
    """That of a configuration with models, the same for all its routes. Raises ConfigError where the file of prices is
    wrong."""
    return context.once("model money", lambda: _money(context))


def _money(context: Context) -> Money:
    models = context.configuration.models
    assert models is not None
    estimator = context.plan.need(("model estimates",), Estimator, PLACE)
    tally = context.plan.need(("model budgets' tally",), Tally, PLACE)
    prices = prices_of(context.configuration)
    budgets = [_budget(context, name, config) for name, config in models.budgets.items()]
    tools = ToolQuotas([_tool_quota(context, name, config) for name, config in models.tool_quotas.items()])
    prices.prepare(named_backends(models))
    usage = context.plan.need(("model usage",), UsageTable, PLACE)
    doubts = context.plan.need(("model doubts",), Doubts, PLACE)
    traffic = context.plan.need(MODEL_TRAFFIC, ModelTraffic, PLACE)
    for message in prices.warnings():
        logger.warning("%s", message)
    counted = Budgets(budgets, estimator, prices, tally)
    return Money(counted, estimator, prices, tools, usage, traffic, doubts, _caller(models))


def _caller(models: ModelsFile) -> Key:
    """Who is apart from others: each consumer, and each of those that a budget counts apart."""
    parts = {part for budget in models.budgets.values() for part in budget.key}
    return compile_key(["consumer", *sorted(parts - OF_BACKEND - {"consumer", "profile", "route"})])


def prices_of(configuration: Configuration) -> Prices:
    """The prices of a configuration with models. Raises ConfigError."""
    models = configuration.models
    assert models is not None
    config = models.prices
    sellers = [Seller(name, provider.speaks, provider.base_url or "") for name, provider in models.in_force.items()]
    own = read_prices(configuration.base, config.file) if config.file is not None else []
    return Prices(sellers, own, config.unknown, _assumed(models))


def warnings(configuration: Configuration) -> Iterator[Fault]:
    """Prices that budgets in money need and that are not known, and a list of prices that is old."""
    models = configuration.models
    if models is None:
        return
    prices = prices_of(configuration)
    for message in prices.warnings():
        yield Fault(("prices",), message, show_value=False)
    in_money = [
        name for name, budget in models.budgets.items() if any(limit.usd is not None for limit in budget.limits)
    ]
    if not in_money or models.prices.unknown != "refuse":
        return
    for provider, model in named_backends(models):
        if prices.price(provider, model) is None:
            message = (
                f"requests to {provider}/{model} are refused, because its price is not known; write it into the file "
                "of prices.file, or set prices.unknown"
            )
            yield Fault(("budgets", in_money[0]), message, show_value=False)


def named_backends(models: ModelsFile) -> Iterator[Backend]:
    """The models that the file names, by provider."""
    profiles = models.model_routing.profiles.values()
    found: dict[Backend, None] = {}
    for name, provider in models.in_force.items():
        found |= dict.fromkeys((name, model) for model in provider.models if "*" not in model)
    for aliases in (models.aliases, *(profile.aliases for profile in profiles)):
        found |= dict.fromkeys(backend for names in aliases.values() for backend in names.items())
    yield from found


def _assumed(models: ModelsFile) -> Price | None:
    assume = models.prices.assume
    if assume is None:
        return None
    given, written = (dollars * MICRO // 10**6 for dollars in (assume.input, assume.output))
    return Price(((0, Rates(given, written, given, given, written)),))


def _budget(context: Context, name: str, config: BudgetConfig) -> Budget:
    parts = frozenset(config.key)
    everything = config.models == ("*",)
    return Budget(
        name,
        config.mode,
        _key(config),
        by_backend=not everything or not parts.isdisjoint(OF_BACKEND),
        applies=_applies(config, None if everything else [Glob(pattern) for pattern in config.models]),
        limits=tuple(_limit(context, name, config, limit) for limit in config.limits),
        output=config.output_reserve,
        charge=config.charge,
        on_failure=config.on_failure,
        store=_store(context, config),
    )


def _applies(config: BudgetConfig, models: list[Glob] | None) -> Callable[[Wanted, Backend], bool] | None:
    if models is None and config.routes == ("*",):
        return None

    def applies(wanted: Wanted, backend: Backend) -> bool:
        names = backend[1].lower(), wanted.asked.lower()
        return config.applies_to(wanted.route) and (
            models is None or any(glob.matches(name) for glob in models for name in names)
        )

    return applies


def _key(config: BudgetConfig) -> Part:
    """Whose requests count together: as for rate limits, with what was chosen for the request."""
    chosen: dict[str, Part] = {
        "provider": lambda exchange, wanted, backend: backend[0],
        "model": lambda exchange, wanted, backend: backend[1],
        "profile": lambda exchange, wanted, backend: wanted.profile,
    }
    theirs = tuple(part for part in config.key if part not in chosen)
    caller = compile_key(theirs) if theirs else None
    parts = [chosen[part] for part in config.key if part in chosen]

    def key(exchange: Exchange, wanted: Wanted, backend: Backend) -> str:
        values = [_bounded(part(exchange, wanted, backend)) for part in parts]
        if caller is not None:
            values.insert(0, caller(exchange))
        return values[0] if len(values) == 1 and caller is not None else "".join(f"{len(v)}:{v}" for v in values)

    return key


def _tool_quota(context: Context, name: str, config: ToolQuotaConfig) -> ToolQuota:
    theirs = tuple(part for part in config.key if part != "tool")
    caller = compile_key(theirs) if theirs else None
    apart = len(theirs) < len(config.key)

    def key(exchange: Exchange, tool: str) -> str:
        whose = "" if caller is None else caller(exchange)
        return f"{len(whose)}:{whose}{_bounded(tool)}" if apart else whose

    return ToolQuota(
        name,
        config.mode,
        config.applies_to,
        tuple(Glob(pattern) for pattern in config.tools),
        key,
        config.limit,
        _words(config.window),
        config.on_failure,
        _ledger(context, f"tools:{name}:{config.window}", config, config.window),
    )


def _bounded(name: str) -> str:
    plain = len(name) <= LONGEST and name.isprintable()
    return name if plain else digest(name.encode("utf-8", "surrogatepass"))


def _limit(context: Context, name: str, config: BudgetConfig, limit: BudgetLimit) -> Limit:
    units: tuple[tuple[Unit, int | None], ...]
    units = ("tokens", limit.tokens), ("micros", limit.usd), ("requests", limit.requests)
    unit, amount = next((name, most) for name, most in units if most is not None)
    ledger = _ledger(context, f"budget:{name}:{unit}:{limit.window}", config, limit.window)
    return Limit(unit, amount, _words(limit.window), ledger)


def _ledger(context: Context, counter: str, config: BudgetConfig | ToolQuotaConfig, window: Length) -> Ledger:
    key = ("budgets.ledger", counter, config.timezone, *_identity_of_book(context, config))
    zone = ZoneInfo(config.timezone)
    return context.plan.need(key, lambda: Ledger(counter, window, zone, _book(context, config)), PLACE)


def _words(window: str | int) -> str:
    return window if isinstance(window, str) else f"{window} s"


def _store(context: Context, config: BudgetConfig) -> HoldStore:
    where = _identity_of_book(context, config)  # each file may fail by itself
    if config.store == "redis":
        return context.plan.need(("budgets.redis", *where), lambda: RedisHolds(redis_link(context)), PLACE)
    return context.plan.need(("budgets.local", *where), LocalHolds, PLACE)


def _identity_of_book(context: Context, config: BudgetConfig | ToolQuotaConfig) -> tuple[object, ...]:
    if config.store == "redis":
        return redis_identity(context)
    return ("memory",) if config.store == "memory" else (_path(context, config),)


def _book(context: Context, config: BudgetConfig | ToolQuotaConfig) -> Book:
    if config.store == "redis":
        return RedisBook(redis_link(context))
    if config.store == "memory":
        return MemoryBook()
    path = _path(context, config)
    return context.plan.need(("quotas.sqlite", path), partial(SqliteBook, path), PLACE)


def _path(context: Context, config: BudgetConfig | ToolQuotaConfig) -> Path:
    return context.base / context.configuration.middleware.state_directory / config.file

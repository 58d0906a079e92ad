"""Prices of requests, in whole micro-dollars, rounded up.

Prices come from the operator's own list first, then from the snapshot in `genai-prices`, which never updates itself. A
price changes where the input is long (tiers), by the service tier and the speed that a request asks for, and by date.
Tokens that are read from a cache, written to one or spent on reasoning are part of input and output, and counted once.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import version
from typing import Any, Final, Literal, NamedTuple, Protocol

from gateway.algorithms.globs import Glob

SNAPSHOT: Final = ("0.2.3", date(2026, 11, 10))
"""The version of genai-prices that was looked at, and of when its prices are: it does not say so itself."""

STALE_DAYS: Final = 60
MICRO: Final = 10**9  # parts of a micro-dollar in which tokens are priced: femto-dollars
MOST_MICROS: Final = 10**12  # of one request: larger amounts are taken for this
MOST_TOKENS: Final = 10**9  # the same
MOST_MODELS: Final = 2000  # whose prices are remembered: about 2 MB
KEPT_SECONDS: Final = 60.0  # for which they are
LONGEST_NAME: Final = 200
STANDARD: Final = frozenset({"", "auto", "default", "standard", "standard_only"})  # tiers that change nothing


class Tier(NamedTuple):
    """What a request asks for beside the model that changes its price."""

    service: str = ""  # `service_tier`
    speed: str = ""


USUAL: Final = Tier()

LISTED: Final = (
    *("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok"),
    "output_reasoning_mtok",
)
_COMPANIES: Final = {"openai": "openai", "anthropic": "anthropic", "gemini": "google"}  # by protocol

Unknown = Literal["refuse", "free", "assume"]


class Tokens(Protocol):
    """The usage of an answer: input including cache reads and writes, output including reasoning."""

    @property
    def input(self) -> int: ...
    @property
    def output(self) -> int: ...
    @property
    def cache_read(self) -> int: ...
    @property
    def cache_write(self) -> int: ...
    @property
    def cache_write_long(self) -> int: ...
    @property
    def reasoning(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Rates:
    """Femto-dollars (1e-15) for one token, and for the request."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    reasoning: int
    request: int = 0
    cache_write_long: int = 0  # for an hour

    def micros(self, usage: Tokens) -> int:
        """The price of this usage."""
        given, output = _tokens(usage.input), _tokens(usage.output)
        femto = given * self.input + output * self.output + self.request
        if usage.cache_read or usage.cache_write or usage.reasoning:
            read = min(_tokens(usage.cache_read), given)
            written = min(_tokens(usage.cache_write), given - read)
            long = min(_tokens(usage.cache_write_long), written)
            femto += read * (self.cache_read - self.input)
            femto += (written - long) * (self.cache_write - self.input)
            femto += long * (max(self.cache_write, self.cache_write_long) - self.input)
            femto += min(_tokens(usage.reasoning), output) * (self.reasoning - self.output)
        return min(-(-femto // MICRO), MOST_MICROS)

    def dearest(self, input_tokens: int, output_tokens: int) -> int:
        """The maximal price of this usage, whatever of it is cached or reasoning."""
        femto = (
            _tokens(input_tokens) * max(self.input, self.cache_read, self.cache_write, self.cache_write_long)
            + _tokens(output_tokens) * max(self.output, self.reasoning)
            + self.request
        )
        return min(-(-femto // MICRO), MOST_MICROS)


@dataclass(frozen=True, slots=True)
class Price:
    """The rates of one model: those of requests whose input is above so many tokens, in ascending order, from 0 on."""

    tiers: tuple[tuple[int, Rates], ...]

    def micros(self, usage: Tokens) -> int:
        """The price of this usage: all of it at the rates of the highest tier that its input reaches."""
        reached = self.tiers[0][1]
        for above, rates in self.tiers[1:]:
            if usage.input > above:
                reached = rates
        return reached.micros(usage)

    def dearest(self, input_tokens: int, output_tokens: int) -> int:
        """The maximal price of this usage, in any of the tiers that its input reaches."""
        reached = [rates for above, rates in self.tiers if not above or input_tokens > above]
        return max(rates.dearest(input_tokens, output_tokens) for rates in reached)


@dataclass(frozen=True, slots=True)
class Seller:
    """A provider, as far as its prices go."""

    name: str
    protocol: str  # openai, anthropic, gemini
    base_url: str = ""


class Prices:
    """The prices of one configuration. `own`: patterns of "provider/model" or of models, of which the first that fits
    goes before the snapshot. `assumed`: of models that are in neither, with `unknown: assume`."""

    def __init__(
        self,
        sellers: Iterable[Seller] = (),
        own: Sequence[tuple[str, Price]] = (),
        unknown: Unknown = "refuse",
        assumed: Price | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.unpriced = 0  # answers whose cost is not known
        self._sellers = {seller.name: seller for seller in sellers}
        self._own = [(Glob(pattern), price) for pattern, price in own]
        self._unknown = unknown
        self._assumed = assumed
        self._clock = clock
        self._snapshot = _Snapshot()
        self._prices: OrderedDict[tuple[str, str, Tier], tuple[float, Price | None]] = OrderedDict()

    def cost(self, provider: str, model: str, usage: Tokens, *, asked: str = "", tier: Tier = USUAL) -> int | None:
        """Micro-dollars. None: the price is not known, and nothing was said of what to do then.

        `model` is as the answer named it; where that has no price, it is that of the model `asked` for. `tier` is the
        requested one.
        """
        price = self.price(provider, model, tier)
        if price is None and asked and asked != model:
            price = self.price(provider, asked, tier)
        if price is not None:
            return price.micros(usage)
        self.unpriced += 1
        if self._unknown == "refuse":
            return None
        return self._otherwise(lambda price: price.micros(usage))

    def dearest(
        self, provider: str, model: str, input_tokens: int, output_tokens: int, *, tier: Tier = USUAL
    ) -> int | None:
        """The maximal price of a request. `tier`: the requested one. None: the price is not known."""
        price = self.price(provider, model, tier)
        if price is None:
            return self._otherwise(lambda price: price.dearest(input_tokens, output_tokens))
        standard = self.price(provider, model) or price
        return max(each.dearest(input_tokens, output_tokens) for each in (price, standard))

    def price(self, provider: str, model: str, tier: Tier = USUAL) -> Price | None:
        """The current price of a model, if it is known. A change takes effect within a minute."""
        if not model or len(model) > LONGEST_NAME or max(map(len, tier)) > LONGEST_NAME:
            return None
        now, key = time.monotonic(), (provider, model, tier)
        known = self._prices.get(key)
        if known is not None and known[0] > now:
            return known[1]
        found = self._find(provider, model)
        price = found.at(self._clock(), tier) if isinstance(found, _Listed) else found
        if len(self._prices) >= MOST_MODELS:
            self._prices.popitem(last=False)
        self._prices[key] = now + KEPT_SECONDS, price
        self._prices.move_to_end(key)
        return price

    def prepare(self, backends: Iterable[tuple[str, str]]) -> None:
        """Look up prices that will be asked for; that takes a while, once."""
        for provider, model in backends:
            self.price(provider, model)

    def _find(self, provider: str, model: str) -> Price | _Listed | None:
        names = f"{provider}/{model}".lower(), model.lower()
        own = next((price for glob, price in self._own if any(map(glob.matches, names))), None)
        if own is not None:
            return own
        seller = self._sellers.get(provider)
        return None if seller is None else self._snapshot.find(seller, model)

    def _otherwise(self, cost: Callable[[Price], int]) -> int | None:
        if self._unknown == "free":
            return 0
        if self._unknown == "assume":
            return cost(self._assumed or self._snapshot.most)
        return None

    def warnings(self) -> list[str]:
        """Warnings of `gateway check` about them."""
        days = (self._clock().date() - snapshot_date(self._clock().date())).days
        if days <= STALE_DAYS:
            return []
        return [
            f"the list of prices that comes with the gateway is {days} days old; upgrade genai-prices, or write the "
            "prices that have changed into the file of prices.file"
        ]


def snapshot_date(today: date) -> date:
    """Of when the prices of the installed snapshot are, or at least."""
    known_version, known = SNAPSHOT
    if version("genai-prices") == known_version:
        return known
    return max((start for start in _Snapshot().starts() if start <= today), default=known)


class _Listed:
    """A model of the snapshot: its price depends on the date, the time of day, and the service tier."""

    __slots__ = ("_model",)

    def __init__(self, model: Any) -> None:
        self._model = model

    def at(self, now: datetime, tier: Tier) -> Price | None:
        return _price(self._model.get_prices(now, {"service_tier": tier.service, "speed": tier.speed}))


class _Snapshot:
    """The prices of genai-prices. It is imported on first use: 11 MB."""

    def __init__(self) -> None:
        self._listed: list[Any] | None = None
        self._most: Price | None = None

    @property
    def providers(self) -> list[Any]:
        if self._listed is None:
            from genai_prices.data import providers  # noqa: PLC0415

            self._listed = list(providers)
        return self._listed

    def find(self, seller: Seller, model: str) -> _Listed | None:
        """The model of a provider: that of its address, or of its name, or else of whom its protocol is."""
        listed = self._by_address(seller.base_url) or self._by_name(seller.name)
        listed = listed or self._by_name(_COMPANIES.get(seller.protocol, ""))
        found = None if listed is None else listed.find_model(model, all_providers=self.providers)
        return None if found is None else _Listed(found)

    def _by_address(self, base_url: str) -> Any:
        return next((each for each in self.providers if base_url and re.match(each.api_pattern, base_url)), None)

    def _by_name(self, name: str) -> Any:
        return next((each for each in self.providers if each.id == name), None)

    def starts(self) -> Iterable[date]:
        """The days on which prices of the list begin."""
        for provider in self.providers:
            for model in provider.models:
                for price in model.prices if isinstance(model.prices, list) else ():
                    if hasattr(price.constraint, "start_date"):
                        yield price.constraint.start_date

    @property
    def most(self) -> Price:
        """The dearest rates of text models of the three large providers."""
        if self._most is None:
            now = datetime.now(UTC)
            models = [model for name in _COMPANIES.values() for model in self._by_name(name).models]
            prices = [price for model in models if (price := _price(model.get_prices(now))) is not None]
            rates = [rates for price in prices for _, rates in price.tiers]
            dearest = max(rates, key=lambda each: each.dearest(1, 1))
            self._most = Price(((0, dearest),))
        return self._most


def _price(listed: Any) -> Price | None:
    """A price of genai-prices as ours. None: it has none for tokens."""
    if listed.input_mtok is None and listed.output_mtok is None:
        return None
    values = {name: getattr(listed, name) for name in LISTED}
    starts = {tier.start for value in values.values() if hasattr(value, "tiers") for tier in value.tiers}
    request = listed.requests_kcount or Decimal(0)
    return Price(tuple((start, _rates(values, start, request)) for start in sorted({0, *starts})))


def _rates(values: Mapping[str, Any], start: int, request: Decimal) -> Rates:
    def at(name: str, otherwise: int) -> int:
        value = values[name]
        if hasattr(value, "tiers"):
            value = next((tier.price for tier in reversed(value.tiers) if tier.start <= start and start), value.base)
        return otherwise if value is None else femto(value, 10**6)

    plain, output = at("input_mtok", 0), at("output_mtok", 0)
    return Rates(
        input=plain,
        output=output,
        cache_read=at("cache_read_mtok", plain),
        cache_write=at("cache_write_mtok", plain),
        reasoning=at("output_reasoning_mtok", output),
        request=femto(request, 1000),
        cache_write_long=at("cache_write_1h_mtok", 0),
    )


def femto(dollars: Decimal, per: int) -> int:
    """Femto-dollars for one, when so many cost so many dollars; rounded up."""
    return int(-((-dollars * 10**15) // per))


def _tokens(count: int) -> int:
    return count if 0 <= count <= MOST_TOKENS else min(max(count, 0), MOST_TOKENS)

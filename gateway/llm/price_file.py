"""Reads the file of `prices.file`."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.config.models.errors import to_fault
from gateway.config.models.llm.price_list import ListedPrice, PriceList
from gateway.config.models.llm.price_list import Rates as RatesConfig
from gateway.config.problems import ConfigError, Fault, Problem
from gateway.config.regular_files import read_regular
from gateway.config.yaml.compose import compose
from gateway.config.yaml.expand import Converter, Expander
from gateway.config.yaml.places import to_problem
from gateway.llm.prices import Price, Rates, femto

MAX_BYTES = 4 * 1024**2
MILLION = 10**6


def read_prices(base: Path, file: str) -> list[tuple[str, Price]]:
    """The prices in a file by the patterns of their models, in its order. Raises ConfigError with all its errors."""
    try:
        data = read_regular(base / file, MAX_BYTES)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        problem = Problem(file, 0, 0, "", f"the file of prices cannot be read: {why}; correct prices.file, or write it")
        raise ConfigError([problem]) from None
    document, problems = compose(file, data)
    if document is None:
        raise ConfigError(problems)
    converter = Converter(Expander({}, base, None))
    value = converter.convert(document.root)
    faults = list(converter.faults)
    try:
        listed = PriceList.model_validate(value)
    except ValidationError as error:
        faults += [_fault(details) for details in error.errors(include_url=False, include_input=False)]
    if faults or problems:
        raise ConfigError([*problems, *(to_problem(document, fault) for fault in dict.fromkeys(faults))])
    return [(pattern, price_of(each)) for pattern, each in listed.prices.items()]


def price_of(listed: ListedPrice) -> Price:
    """A price of the file."""
    tiers = [
        (0, _rates(listed, listed.request)),
        *((tier.above, _rates(tier, listed.request)) for tier in listed.tiers),
    ]
    return Price(tuple(tiers))


def _rates(listed: RatesConfig, request: Decimal) -> Rates:
    def rate(dollars: Decimal | None, otherwise: Decimal) -> int:
        return femto(otherwise if dollars is None else dollars, MILLION)

    return Rates(
        input=femto(listed.input, MILLION),
        output=femto(listed.output, MILLION),
        cache_read=rate(listed.cache_read, listed.input),
        cache_write=rate(listed.cache_write, listed.input),
        reasoning=rate(listed.reasoning, listed.output),
        request=femto(request, 1),
    )


def _fault(details: ErrorDetails) -> Fault:
    path, kind = details["loc"], details["type"]
    if kind == "missing":
        return Fault(path[:-1], f'the key "{path[-1]}" is missing; add it', show_value=False)
    if kind == "extra_forbidden":
        known = "prices" if len(path) == 1 else ", ".join(ListedPrice.model_fields)
        return Fault(path, f"unknown key; known here: {known}", show_value=False)
    if kind == "model_type":
        return Fault(path, "expected keys, such as input and output")
    return to_fault("models.yaml", details)

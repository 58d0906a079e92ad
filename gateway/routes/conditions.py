"""What a rule asks of a request beside its host, path and method: headers and query parameters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qs

from gateway.algorithms.linear_regex import MAX_TEXT, LinearRegex, TextTooLong
from gateway.algorithms.regex_syntax import RegexError
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Headers
from gateway.http.fields import lines_of, repeated
from gateway.http.hosts import normalise_host
from gateway.routes.pattern import PatternError
from gateway.routes.rule import Predicate, Rule


@dataclass(slots=True)
class Asked:
    """The query and the headers of one request; the query is parsed when the first condition wants it.

    `fields` has the last value of each header, by its lower-case name.
    """

    query: bytes
    headers: Headers
    fields: dict[bytes, bytes]
    _parameters: dict[str, list[str]] | None = field(default=None, init=False)

    def header(self, name: str) -> Sequence[str]:
        """Return the values of a header; several lines of a list are one."""
        found = lines_of(self.headers, self.fields, name.encode())
        return [value.decode("utf-8", "replace") for value in found]

    def parameter(self, name: str) -> Sequence[str]:
        """Return the decoded values of a query parameter, in order."""
        if self._parameters is None:
            self._parameters = parse_qs(self.query.decode("utf-8", "replace"), keep_blank_values=True)
        return self._parameters.get(name, ())


@dataclass(frozen=True, slots=True)
class Condition:
    """A predicate made ready to be asked. `fits` is None where only presence is asked for."""

    kind: Literal["header", "query parameter"]
    predicate: Predicate
    fits: Callable[[str], object] | None

    def holds(self, asked: Asked) -> bool:
        """Whether the request is what the rule wants.

        Raises `GatewayError` where it depends on a duplicated value (the backend may take the other one), or is
        longer than what is compared with a regular expression.
        """
        values = self._values(asked)
        if not values or self.fits is None:
            return bool(values) is self.predicate.present
        if len(values) > 1:
            raise repeated(f"{self.kind} {self.predicate.name}")
        try:
            return bool(self.fits(values[0]))
        except TextTooLong:
            detail = f"the {self.kind} {self.predicate.name} has more than the {MAX_TEXT} characters that are compared"
            raise GatewayError(ErrorKind.BAD_REQUEST, detail) from None

    def reason(self, asked: Asked) -> str:
        """Return a sentence that says what the request has and what the rule wants."""
        values = self._values(asked)
        given = " and ".join(f'"{value}"' for value in values) or "missing"
        return f"{self.kind} {self.predicate.name} is {given}, the route wants {self._wanted()}"

    def _values(self, asked: Asked) -> Sequence[str]:
        name = self.predicate.name
        return asked.header(name) if self.kind == "header" else asked.parameter(name)

    def _wanted(self) -> str:
        predicate = self.predicate
        if not predicate.present:
            return "it absent"
        if predicate.equals is not None:
            return f'"{predicate.equals}"'
        return "any value" if predicate.regex is None else f'one that wholly fits "{predicate.regex}"'


def conditions_of(rule: Rule) -> tuple[Condition, ...]:
    """Compile the predicates of `rule`. Raises `PatternError` for a regular expression that cannot be used."""
    lower = [lower_case(p) for p in rule.headers]
    headers = [Condition("header", p, _test(rule, p)) for p in lower]
    query = [Condition("query parameter", p, _test(rule, p)) for p in rule.query]
    return (*headers, *query)


def lower_case(header: Predicate) -> Predicate:
    """Return the predicate with the header name as it is looked up, and a host as hosts are compared."""
    name, equals = header.name.lower(), header.equals
    if name == "host" and equals is not None:
        equals = normalise_host(equals)
    return Predicate(name, equals, header.regex, header.present)


def _test(rule: Rule, predicate: Predicate) -> Callable[[str], object] | None:
    if predicate.equals is not None:
        return predicate.equals.__eq__
    if predicate.regex is None:
        return None
    try:
        return LinearRegex(predicate.regex).matches
    except RegexError as error:
        raise PatternError(f'{predicate.name}: "{predicate.regex}" cannot be used: {error}') from None

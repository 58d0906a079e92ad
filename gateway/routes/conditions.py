"""Predicates of routes and splits beside host, path and method: headers, cookies and query parameters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gateway.algorithms.linear_regex import MAX_TEXT, LinearRegex, TextTooLong
from gateway.algorithms.regex_syntax import RegexError
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Headers
from gateway.http.fields import lines_of, repeated
from gateway.http.hosts import normalise_host
from gateway.http.parameters import cookie_values, parameters
from gateway.routes.rule import Predicate, Rule
from gateway.routes.wildcards import PatternError

Kind = Literal["header", "cookie", "query parameter"]


@dataclass(slots=True)
class Asked:
    """The query and the headers of one request; the query is parsed when the first requirement wants it.

    `fields` has the last value of each header, by its lower-case name.
    """

    query: bytes
    headers: Headers
    fields: dict[bytes, bytes]
    _parameters: dict[str, list[str]] | None = field(default=None, init=False)

    def values(self, kind: Kind, name: str) -> Sequence[str]:
        """The values of a name in the request, decoded, in order; several lines of a header that is a list are one."""
        if kind == "query parameter":
            if self._parameters is None:
                self._parameters = {}
                for other, value in parameters(self.query):
                    self._parameters.setdefault(other, []).append(value)
            return self._parameters.get(name, ())
        if kind == "header":
            found = lines_of(self.headers, self.fields, name.encode())
        else:
            found = cookie_values(self.headers, self.fields, name.encode())
        return [value.decode("utf-8", "replace") for value in found]


@dataclass(frozen=True, slots=True)
class Requirement:
    """A predicate made ready to be asked. `fits` is None where only presence is asked for.

    `strict`: a request is refused that has the value more than once, as the backend may take the other one, or longer
    than what is compared with a regular expression. Otherwise such a value fits nothing.
    """

    kind: Kind
    predicate: Predicate
    fits: Callable[[str], object] | None
    strict: bool = True

    def holds(self, asked: Asked) -> bool:
        """Whether the request is what is wanted. Raises `GatewayError` where it is refused."""
        values = asked.values(self.kind, self.predicate.name)
        if not values or self.fits is None:
            return bool(values) is self.predicate.present
        if len(values) > 1:
            if self.strict:
                raise repeated(f"{self.kind} {self.predicate.name}")
            return False
        try:
            return bool(self.fits(values[0]))
        except TextTooLong:
            if self.strict:
                detail = (
                    f"the {self.kind} {self.predicate.name} has more than the {MAX_TEXT} characters that are compared"
                )
                raise GatewayError(ErrorKind.BAD_REQUEST, detail) from None
            return False

    def reason(self, asked: Asked) -> str:
        """Return a sentence that says what the request has and what the rule wants."""
        values = asked.values(self.kind, self.predicate.name)
        given = " and ".join(f'"{value}"' for value in values) or "missing"
        return f"{self.kind} {self.predicate.name} is {given}, the route wants {self._wanted()}"

    def _wanted(self) -> str:
        predicate = self.predicate
        if not predicate.present:
            return "it absent"
        if predicate.equals is not None:
            return f'"{predicate.equals}"'
        return "any value" if predicate.regex is None else f'one that wholly fits "{predicate.regex}"'


def requirements_of(rule: Rule) -> tuple[Requirement, ...]:
    """Compile the predicates of `rule`. Raises `PatternError` for a regular expression that cannot be used."""
    headers = [requirement("header", predicate) for predicate in rule.headers]
    query = [requirement("query parameter", predicate) for predicate in rule.query]
    return (*headers, *query)


def requirement(kind: Kind, predicate: Predicate, *, strict: bool = True) -> Requirement:
    """Compile one predicate. Raises `PatternError` for a regular expression that cannot be used."""
    if kind == "header":
        predicate = lower_case(predicate)
    return Requirement(kind, predicate, _test(predicate), strict)


def lower_case(header: Predicate) -> Predicate:
    """Return the predicate with the header name as it is looked up, and a host as hosts are compared."""
    name, equals = header.name.lower(), header.equals
    if name == "host" and equals is not None:
        equals = normalise_host(equals)
    return Predicate(name, equals, header.regex, header.present)


def _test(predicate: Predicate) -> Callable[[str], object] | None:
    if predicate.equals is not None:
        return predicate.equals.__eq__
    if predicate.regex is None:
        return None
    try:
        return LinearRegex(predicate.regex).matches
    except RegexError as error:
        raise PatternError(f'{predicate.name}: "{predicate.regex}" cannot be used: {error}') from None

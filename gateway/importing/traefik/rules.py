"""The rule language of Traefik's routers, taken apart into alternatives: each a list of matchers that must all hold."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.importing.headers import is_secret

MOST = 64  # alternatives of one rule

_TOKEN = re.compile(
    r"""\s*(?:(?P<word>[A-Za-z]\w*)|(?P<text>`[^`]*`|"(?:\\.|[^"\\])*")|(?P<mark>&&|\|\||[!(),])|(?P<bad>\S))"""
)


class RuleError(Exception):
    """The rule cannot be read; the text says where."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """One call, such as ``PathPrefix(`/api`)``; `negated` with `!` in front."""

    name: str
    arguments: tuple[str, ...]
    negated: bool = False

    def __str__(self) -> str:
        first, *others = self.arguments or ("",)
        shown = [first, *("..." if is_secret(first) else text for text in others)]
        return f"{'!' * self.negated}{self.name}({', '.join(f'`{text}`' for text in shown)})"


Alternative = tuple[Matcher, ...]


def alternatives(rule: str) -> list[Alternative]:
    """The rule in disjunctive normal form. Raises RuleError."""
    parser = _Parser(rule)
    found = parser.either(negated=False)
    if parser.peek():
        raise RuleError(f"{parser.peek()!r} is not expected here")
    return found


class _Parser:
    def __init__(self, rule: str) -> None:
        self._tokens = []
        for match in _TOKEN.finditer(rule.rstrip()):
            if match["bad"]:
                raise RuleError(f"{match['bad']!r} is not part of the language")
            self._tokens.append(match[0].strip())
        self._position = 0

    def peek(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _next(self) -> str:
        token = self.peek()
        self._position += 1
        return token

    def either(self, *, negated: bool) -> list[Alternative]:
        """Alternatives joined by `||`; negated, all of them must fail (De Morgan)."""
        parts = [self._both(negated=negated)]
        while self.peek() == "||":
            self._next()
            parts.append(self._both(negated=negated))
        return _product(parts) if negated else _union(parts)

    def _both(self, *, negated: bool) -> list[Alternative]:
        parts = [self._one(negated=negated)]
        while self.peek() == "&&":
            self._next()
            parts.append(self._one(negated=negated))
        return _union(parts) if negated else _product(parts)

    def _one(self, *, negated: bool) -> list[Alternative]:
        token = self._next()
        if token == "!":
            return self._one(negated=not negated)
        if token == "(":
            inside = self.either(negated=negated)
            self._expect(")")
            return inside
        if not token or not token[0].isalpha():
            raise RuleError(f"a matcher such as Host(`example.com`) is expected where {token or 'the end'!r} is")
        self._expect("(")
        arguments = []
        while self.peek() not in (")", ""):
            text = self._next()
            arguments.append(text[1:-1] if text[0] == "`" else re.sub(r"\\(.)", r"\1", text[1:-1]))
            if self.peek() == ",":
                self._next()
        self._expect(")")
        return [(Matcher(token, tuple(arguments), negated),)]

    def _expect(self, token: str) -> None:
        if self._next() != token:
            raise RuleError(f"{token!r} is missing")


def _union(parts: list[list[Alternative]]) -> list[Alternative]:
    return [alternative for part in parts for alternative in part]


def _product(parts: list[list[Alternative]]) -> list[Alternative]:
    found: list[Alternative] = [()]
    for part in parts:
        found = [(*before, *after) for before in found for after in part]
        if len(found) > MOST:
            raise RuleError(f"it has more than {MOST} alternatives")
    return found

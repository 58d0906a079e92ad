"""Parses the text of a condition to a tree.

    or         = and { "or" and }
    and        = not { "and" not }
    not        = "not" not | comparison
    comparison = operand [ ( "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not" "in" ) operand ]
    operand    = text | number | "true" | "false" | "[" literal { "," literal } "]" | "(" or ")" | path
    path       = name { "." name | "[" text "]" } [ "." name "(" text ")" ]

A text stands in single or double quotes and has no escapes: one that holds the one kind of quote is put into the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal as OneOf
from typing import NoReturn, cast

from gateway.algorithms.conditions.condition import ConditionError

MAX_LENGTH = 2000  # characters
MAX_DEPTH = 30  # of parentheses and "not"

Operator = OneOf["==", "!=", "<", "<=", ">", ">=", "in", "not in"]

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>"[^"]*"|'[^']*')
  | (?P<number>-?[0-9]+(?:\.[0-9]+)?(?![A-Za-z0-9_.]))
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<sign>==|!=|<=|>=|&&|\|\||[<>=!()\[\].,&|])
  | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})
_REMEDIES = {
    "=": "write ==",
    "&&": "write and",
    "&": "write and",
    "||": "write or",
    "|": "write or",
    "!": "write not",
    "AND": "write and",
    "OR": "write or",
    "NOT": "write not",
    "IN": "write in",
}


@dataclass(frozen=True, slots=True)
class Token:
    """A word of the text. `kind` is text, number, name, sign or end."""

    kind: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that is written down."""

    value: str | int | float | bool
    at: int


@dataclass(frozen=True, slots=True)
class Listed:
    """Several of them, in brackets."""

    items: tuple[Literal, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Path:
    """`claims.address.country`, `headers["x-team"]`."""

    name: str
    steps: tuple[str, ...]
    at: int

    def __str__(self) -> str:
        return self.name + "".join(f".{step}" if step.isidentifier() else f'["{step}"]' for step in self.steps)


@dataclass(frozen=True, slots=True)
class Call:
    """`path.startswith("/v1")`"""

    subject: Path
    function: str
    argument: Literal
    at: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two operands and what is between them."""

    left: Node
    operator: Operator
    right: Node
    at: int


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    item: Node
    at: int


@dataclass(frozen=True, slots=True)
class Joined:
    """All of them, or any of them."""

    word: OneOf["and", "or"]
    items: tuple[Node, ...]
    at: int


Node = Literal | Listed | Path | Call | Comparison | Not | Joined


def parse(text: str) -> Node:
    """The tree of a condition. Raises ConditionError."""
    if len(text) > MAX_LENGTH:
        raise ConditionError(f"the condition is longer than {MAX_LENGTH} characters; split it", MAX_LENGTH)
    return _Parser(list(_tokens(text))).parse()


def _tokens(text: str) -> Iterator[Token]:
    offset, kind = 0, ""
    while kind != "end":
        match = _TOKEN.match(text, offset)
        if match is None:
            raise _unreadable(text, len(text) - len(text[offset:].lstrip()))
        kind = str(match.lastgroup)
        yield Token(kind, match[kind], match.start(kind))
        offset = match.end()


def _unreadable(text: str, at: int) -> ConditionError:
    char = text[at]
    if char in "\"'":
        return ConditionError(f"the text that begins here does not end; close it with {char}", at)
    if char == "-":
        return ConditionError('"-" is only for negative numbers; write names with a hyphen as headers["x-name"]', at)
    if char.isdigit():
        return ConditionError("this is not a number; write digits, with one point at most, or quotes for a text", at)
    return ConditionError(f'"{char}" has no meaning here' if char.isprintable() else "an invisible character", at)


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._index = 0
        self._depth = 0

    def parse(self) -> Node:
        if self._token.kind == "end":
            raise ConditionError("the condition is empty; write one, or remove the key", 0)
        node = self._or()
        if self._token.kind != "end":
            self._fail("expected and, or, or the end")
        return node

    @property
    def _token(self) -> Token:
        return self._tokens[self._index]

    def _take(self, *texts: str) -> Token | None:
        """The next token, if it is one of these words or signs."""
        token = self._token
        if token.kind in ("name", "sign") and token.text in texts:
            self._index += 1
            return token
        return None

    def _fail(self, expected: str) -> NoReturn:
        token = self._token
        remedy = _REMEDIES.get(token.text) if token.kind != "text" else None
        found = "the condition ends" if token.kind == "end" else f"found {_shown(token)}"
        raise ConditionError(f"{expected}, but {found}" + (f"; {remedy}" if remedy else ""), token.at)

    def _need(self, sign: str) -> Token:
        return self._take(sign) or self._fail(f'expected "{sign}"')

    def _or(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ConditionError(f"the condition is nested more than {MAX_DEPTH} deep; make it simpler", self._token.at)
        node = self._joined("or")
        self._depth -= 1
        return node

    def _joined(self, word: OneOf["and", "or"]) -> Node:
        at = self._token.at
        below = self._not if word == "and" else lambda: self._joined("and")
        items = [below()]
        while self._take(word):
            items.append(below())
        return items[0] if len(items) == 1 else Joined(word, tuple(items), at)

    def _not(self) -> Node:
        token = self._take("not")
        if token is None:
            return self._comparison()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ConditionError(f"the condition is nested more than {MAX_DEPTH} deep; make it simpler", token.at)
        node = Not(self._not(), token.at)
        self._depth -= 1
        return node

    def _comparison(self) -> Node:
        left = self._operand()
        at = self._token.at
        operator = self._operator()
        if operator is None:
            return left
        node = Comparison(left, operator, self._operand(), at)
        again = self._token.at
        if self._operator() is not None:
            raise ConditionError("comparisons cannot be chained; join two of them with and", again)
        return node

    def _operator(self) -> Operator | None:
        if self._take("not"):
            self._need("in")
            return "not in"
        token = self._take(*_COMPARISONS, "in")
        return cast(Operator, token.text) if token else None

    def _operand(self) -> Node:
        token = self._token
        if self._take("("):
            node = self._or()
            self._need(")")
            return node
        if self._take("["):
            at = token.at
            items = [self._literal("expected a text or a number in the list")]
            while self._take(","):
                items.append(self._literal("expected a text or a number in the list"))
            self._need("]")
            return Listed(tuple(items), at)
        if token.kind == "name" and token.text not in ("true", "false", "and", "or", "in", "not"):
            return self._path()
        return self._literal("expected a value or a name")

    def _literal(self, expected: str) -> Literal:
        token = self._token
        value: str | int | float | bool
        if token.kind == "text":
            value = token.text[1:-1]
        elif token.kind == "number":
            value = float(token.text) if "." in token.text else int(token.text)
        elif token.kind == "name" and token.text in ("true", "false"):
            value = token.text == "true"
        else:
            self._fail(expected)
        self._index += 1
        return Literal(value, token.at)

    def _path(self) -> Node:
        first = self._token
        self._index += 1
        steps: list[str] = []
        while True:
            if self._take("["):
                steps.append(self._text('expected a name in quotes, as in ["x-name"]'))
                self._need("]")
            elif self._take("."):
                name = self._token
                if name.kind != "name":
                    self._fail("expected a name after the point")
                self._index += 1
                if self._take("("):
                    subject = Path(first.text, tuple(steps), first.at)
                    argument = self._token
                    text = self._text("expected a text in quotes")
                    self._need(")")
                    return Call(subject, name.text, Literal(text, argument.at), name.at)
                steps.append(name.text)
            else:
                break
        if self._token.text == "(" and self._token.kind == "sign":
            raise ConditionError(f'functions stand behind a value; write path.{first.text}("...")', first.at)
        return Path(first.text, tuple(steps), first.at)

    def _text(self, expected: str) -> str:
        token = self._token
        if token.kind != "text":
            self._fail(expected)
        self._index += 1
        return token.text[1:-1]


def _shown(token: Token) -> str:
    return token.text if token.kind in ("text", "number") else f'"{token.text}"'

"""Expressions of Kong's router, as far as they are a path, and hosts and methods beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

_TERM = re.compile(
    r'(?:lower\(\s*)?(http\.path|http\.host|http\.method)\s*\)?\s*(==|\^=|~)\s*(?:r#"(.*?)"#|"((?:\\.|[^"\\])*)")',
    re.DOTALL,
)
_TOKEN = re.compile(r'r#".*?"#|"(?:\\.|[^"\\])*"|&&|\|\||[()]|[^"()&|]+?(?=r#"|["()&|]|$)|[&|]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Conditions on a request: each path with its operator, `==`, `^=` (begins with) or `~`; none of a kind is any."""

    paths: list[tuple[str, str]] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)


def wanted_by(expression: str) -> Wanted | None:
    """The conditions of an expression; None if it is more than alternatives of one field, all of which must be true."""
    found = Wanted()
    seen: set[str] = set()
    for clause in _split(expression, "&&"):
        texts = _split(_bare(clause), "||")
        terms = [term for text in texts if (term := _TERM.fullmatch(_bare(text))) is not None]
        fields = {term[1] for term in terms}
        if len(terms) < len(texts) or len(fields) != 1 or fields & seen:
            return None
        seen |= fields
        for term in terms:
            text = term[3] if term[3] is not None else re.sub(r"\\(.)", r"\1", term[4])
            if term[1] == "http.path":
                found.paths.append((term[2], text))
            elif term[2] == "==":
                (found.hosts if term[1] == "http.host" else found.methods).append(text)
            else:
                return None
    return found


def _split(text: str, operator: str) -> Sequence[str]:
    """The parts between an operator, where it stands outside of parentheses and texts."""
    parts, depth = [""], 0
    for token in _TOKEN.findall(text):
        depth += (token == "(") - (token == ")")
        if token == operator and not depth:
            parts.append("")
        else:
            parts[-1] += token
    return parts


def _bare(text: str) -> str:
    """Without parentheses around the whole of it."""
    text = text.strip()
    while text.startswith("(") and text.endswith(")") and len(_split(text[1:-1], ")")) == 1:
        text = text[1:-1].strip()
    return text

"""Regular expressions over paths, as other gateways have them, as patterns of ours.

The text is taken apart at its slashes; what stands between two of them is a literal, a wildcard, or an expression for
one segment. What cannot be distinguished in this way, such as `.*` with something behind it, is not translated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from string import ascii_letters, digits

from gateway.importing.patterns import Pattern, is_literal

MOST = 32  # patterns that one expression may become

_ATOM = re.compile(
    r"(?P<class>\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\])|(?P<escape>\\.)|(?P<open>\((?:\?(?:P?<\w+>|:|[a-z]+\)))?)"
    r"|(?P<bar>\|)|(?P<close>\))|(?P<anchor>[\^$])|(?P<dot>\.)|(?P<char>[^\\])",
    re.DOTALL,
)
_QUANTIFIER = re.compile(r"(?:[*+?]|\{\d+(?:,\d*)?\})[?+]?")
_UNKNOWN = re.compile(r"\(\?(?:[=!>]|<[=!])|\\[bBAzZGkgpP1-9QR]|\(\?[a-z]*-|\(\?R|\(\?\(")


_SAMPLES = "1aAz-_.~" + ascii_letters + digits + "!$&'()+,;=:@%"
_GROUPS = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\([^()]*\)")
_ALTERNATIVES = re.compile(r"\|")


class Unsayable(Exception):
    """The expression has no form of ours; the text says why."""


@dataclass(frozen=True, slots=True)
class _Atom:
    text: str
    plain: str | None = None
    """The one character that it stands for."""
    branches: tuple[tuple[_Atom, ...], ...] = ()
    quantifier: str = ""
    name: str = ""

    @property
    def takes_slash(self) -> bool:
        if self.branches:
            return any(atom.takes_slash for branch in self.branches for atom in branch)
        if self.plain is not None:
            return self.plain == "/"
        if self.text == "." and self.quantifier in ("", "?"):
            return False  # one character; not meant to match a slash
        if self.text in (r"\d", r"\w", r"\s", r"\h", r"\v", ""):
            return False
        return re.fullmatch(_spelled(self.text), "/", re.DOTALL) is not None

    @property
    def source(self) -> str:
        """As our engine takes it: without lazy and possessive quantifiers, groups without names."""
        body = (
            "(?:" + "|".join("".join(a.source for a in b) for b in self.branches) + ")" if self.branches else self.text
        )
        return body + re.sub(r"(?<=.)[?+]$", "", self.quantifier)


def _spelled(text: str) -> str:
    for name, members in (("alpha", "A-Za-z"), ("alnum", "A-Za-z0-9"), ("digit", "0-9"), ("word", r"\w")):
        text = text.replace(f"[:{name}:]", members)
    return text


@dataclass(frozen=True, slots=True)
class Found:
    """The patterns of one expression, and whether it ends where the path ends; if not, more may follow.

    `grouped`: each of its groups is what one wildcard takes, in the same order.
    """

    patterns: tuple[Pattern, ...]
    anchored: bool
    grouped: bool


def patterns_of(expression: str, *, anywhere: bool = False, ignore_case: bool = False) -> Found:
    """The patterns that fit the same paths. Raises Unsayable.

    An expression is looked for from the beginning of the path on, or, with `anywhere`, anywhere in it unless it begins
    with `^`. What is not anchored at its end takes anything behind it.
    """
    if unknown := _UNKNOWN.search(expression):
        raise Unsayable(f"{unknown[0]!r} looks around, or is otherwise more than a regular expression")
    if expression.startswith("(?i)"):
        expression, ignore_case = expression[4:], True
    atoms, end = _sequence(expression, 0)
    if end != len(expression):
        raise Unsayable("its parentheses do not match")
    found = [_pattern(list(choice), anywhere, ignore_case) for branch in atoms for choice in _choices(branch)]
    if len(found) > MOST:
        raise Unsayable(f"it would become more than {MOST} paths")
    flat = [pattern for patterns, _ in found for pattern in patterns]
    # No path has a segment of dots: they are resolved before.
    flat = [pattern for pattern in flat if not {".", ".."} & set(pattern.segments)] or flat
    grouped = all(_is_grouped(list(branch)) for branch in atoms)
    # `/a/*` for what is beneath `/a` and `/a` itself.
    whole = {Pattern(p.segments, True) for p in flat if p.beneath and not p.further and Pattern(p.segments) in flat}
    parts = {part for p in whole for part in (Pattern(p.segments), Pattern(p.segments, True, True))}
    return Found(
        tuple(dict.fromkeys([*(p for p in flat if p not in parts), *sorted(whole, key=lambda p: p.text)])),
        all(anchored for _, anchored in found),
        grouped,
    )


def _is_grouped(atoms: list[_Atom]) -> bool:
    """Whether groups stand between slashes or literal text, one in each segment, and wildcards only within them."""
    segments: list[list[_Atom]] = [[]]
    for atom in atoms:
        if atom.plain == "/":
            segments.append([])
        elif atom.text not in ("^", "$"):
            segments[-1].append(atom)
    for segment in segments:
        open_ = [atom for atom in segment if atom.branches or atom.plain is None or atom.quantifier]
        if len(open_) > 1 or (
            open_ and (open_[0].text[:1] != "(" or open_[0].text.startswith("(?:") or open_[0].quantifier)
        ):
            return False
    return True


def anywhere(expression: str) -> str:
    """An expression that is looked for in a text, as one for the whole text."""
    begins, ends = expression.startswith("^"), expression.endswith("$") and not expression.endswith("\\$")
    body = expression[begins : len(expression) - ends]
    return ("" if begins else ".*") + (f"(?:{body})" if "|" in body else body) + ("" if ends else ".*")


def head_of(expression: str, *, anywhere: bool = False) -> str:
    """The literal beginning of every path that matches an expression; "" if that is not more than a slash.

    For expressions that cannot be translated: what they guard must stay guarded, even with more than it.
    """
    text = expression.removeprefix("(?i)")
    if (anywhere and not text.startswith(("^", "/", "\\/"))) or _ALTERNATIVES.search(_GROUPS.sub("", text)):
        return ""
    head = ""
    for match in _ATOM.finditer(text.removeprefix("^")):
        char = match["char"] or (match["escape"] or "").removeprefix("\\")
        quantifier = _QUANTIFIER.match(match.string, match.end())
        if len(char) != 1 or (match["escape"] and char.isalnum()) or (quantifier and quantifier[0][0] in "*?{"):
            break
        head += char
        if quantifier:
            break
    return head if head.startswith("/") and head.strip("/") else ""


def sample_of(expression: str, variant: int = 0) -> str:
    """Some text that fits, as far as that is easily made; another one for each `variant`, where there are several."""
    branches, _ = _sequence(expression.removeprefix("(?i)"), 0)
    text = "".join(_sample(atom, variant) for atom in branches[variant % len(branches)])
    return text.swapcase() if expression.startswith("(?i)") and variant % 4 > 1 else text


def _sample(atom: _Atom, variant: int) -> str:
    least = re.match(r"\{(\d+)", atom.quantifier)
    times = int(least[1]) if least else atom.quantifier[:1] not in ("*", "?") or variant % 2
    if atom.branches:
        branch = atom.branches[variant % len(atom.branches)]
        return "".join(_sample(each, variant) for each in branch) * times
    if atom.plain is not None:
        return atom.plain * times
    fitting = [char for char in _SAMPLES if re.fullmatch(atom.text, char)]
    return fitting[variant % len(fitting)] * times if fitting else ""


def _sequence(text: str, position: int) -> tuple[tuple[tuple[_Atom, ...], ...], int]:
    """The branches up to the end, or to the parenthesis that closes them."""
    branches: list[list[_Atom]] = [[]]
    while position < len(text):
        match = _ATOM.match(text, position)
        if match is None:
            raise Unsayable("it ends in a backslash")
        position = match.end()
        kind = match.lastgroup
        if kind == "close":
            return tuple(map(tuple, branches)), position - 1
        if kind == "bar":
            branches.append([])
            continue
        inner: tuple[tuple[_Atom, ...], ...] = ()
        if kind == "open":
            inner, position = _sequence(text, position)
            if text[position : position + 1] != ")":
                raise Unsayable("its parentheses do not match")
            position += 1
        quantifier = _QUANTIFIER.match(text, position)
        position = quantifier.end() if quantifier else position
        branches[-1].append(_atom(match, inner, quantifier[0] if quantifier else ""))
    return tuple(map(tuple, branches)), position


def _atom(match: re.Match[str], inner: tuple[tuple[_Atom, ...], ...], quantifier: str) -> _Atom:
    text = _spelled(match[0])
    if match.lastgroup == "char":
        return _Atom(re.escape(text) if text in "{}-" else text, text, quantifier=quantifier)
    if match.lastgroup == "escape":
        plain = None if text[1].isalnum() else text[1]
        return _Atom(text if plain is None or plain in ".*+?()[]{}|^$\\" else plain, plain, quantifier=quantifier)
    name = re.search(r"<(\w+)>", text)
    return _Atom(text, None, inner, quantifier, name[1] if name else "")


def _choices(atoms: tuple[_Atom, ...]) -> Iterator[list[_Atom]]:
    """The sequences that these atoms stand for, where a slash is optional or differs between branches."""
    if not atoms:
        yield []
        return
    first, rest = atoms[0], list(_choices(atoms[1:]))
    if len(rest) > MOST:
        raise Unsayable(f"it would become more than {MOST} paths")
    for choice in _alternatives(first):
        for following in rest:
            yield [*choice, *following]


def _alternatives(atom: _Atom) -> list[list[_Atom]]:
    single = atom.quantifier in ("", "?", "??")
    if not atom.takes_slash or (not atom.branches and atom.plain != "/") or (_is_any(atom)):
        return [[atom]]
    if atom.plain == "/" and atom.quantifier in ("+", "*"):  # paths are compared with one slash for several
        return [[_Atom("/", "/")]] + ([[]] if atom.quantifier == "*" else [])
    if not single:
        return [[atom]]
    once = [choice for branch in atom.branches for choice in _choices(branch)] if atom.branches else [[_Atom("/", "/")]]
    return [*once, []] if atom.quantifier else once


def _is_any(atom: _Atom) -> bool:
    """`(.*)`, `.*` and `.+`, in groups or not."""
    if atom.branches:
        return (
            len(atom.branches) == 1
            and len(atom.branches[0]) == 1
            and not atom.quantifier
            and _is_any(atom.branches[0][0])
        )
    return atom.takes_slash and atom.plain is None and atom.quantifier[:1] in ("*", "+")


def _may_be_nothing(atom: _Atom) -> bool:
    return _may_be_nothing(atom.branches[0][0]) if atom.branches else atom.quantifier[:1] == "*"


def _pattern(atoms: list[_Atom], anywhere: bool, ignore_case: bool) -> tuple[list[Pattern], bool]:
    begins = bool(atoms) and atoms[0].text == "^"
    ends = bool(atoms) and atoms[-1].text == "$"
    atoms = atoms[begins : len(atoms) - ends]
    if anywhere and not begins:
        if not (atoms and _is_any(atoms[0])):
            raise Unsayable("it is looked for anywhere in the path, and a path of ours begins at its beginning")
        raise Unsayable("something follows what may be any number of segments")
    if not atoms or atoms[0].plain != "/":
        if len(atoms) == 1 and _is_any(atoms[0]):
            return [Pattern((), True)], True
        raise Unsayable("it does not begin with a slash")
    segments: list[list[_Atom]] = []
    for atom in atoms:
        if atom.plain == "/" and not atom.quantifier:
            segments.append([])
        else:
            segments[-1].append(atom)
    *heads, last = segments
    if any(atom.takes_slash for segment in heads for atom in segment):
        raise Unsayable("something follows what may be any number of segments")
    names: set[str] = set()
    written = tuple([_segment(segment, names, ignore_case) for segment in heads])
    if last and _is_any(last[-1]):
        if len(last) == 1:
            return [Pattern(written, True, True, further=not _may_be_nothing(last[0]))], True
        last, ends = last[:-1], False
    if any(atom.takes_slash for atom in last):
        raise Unsayable("something follows what may be any number of segments")
    if ends:
        pattern = Pattern((*written, _segment(last, names, ignore_case)))
        # A wildcard is at least one character.
        return [pattern, *([Pattern((*written, ""))] if pattern.segments[-1] and _may_be_empty(last) else [])], True
    return _unended(written, last, names, ignore_case), False


def _unended(written: tuple[str, ...], last: list[_Atom], names: set[str], ignore_case: bool) -> list[Pattern]:
    """The patterns of an expression that ends in the middle of a path."""
    if not last:
        return [Pattern(written, True, True)]
    own = _segment(last, set(names), ignore_case)
    if _may_be_empty(last):
        return [Pattern((*written, "{" + _free("part", names) + "}"), True), Pattern((*written, ""))]
    if is_literal(own):
        return [Pattern((*written, own), True), Pattern((*written, own + "*"), True)]
    if ":" not in own:
        return [Pattern((*written, own), True)]
    return [Pattern((*written, _segment([*last, _Atom("[^/]*", None)], names, ignore_case)), True)]


def _may_be_empty(atoms: list[_Atom]) -> bool:
    # Whether each branch of a group takes something.
    return all(
        atom.quantifier[:1] in ("?", "*")
        or (atom.branches and not all(not _may_be_empty(list(branch)) for branch in atom.branches))
        for atom in atoms
    )


def _segment(atoms: list[_Atom], names: set[str], ignore_case: bool) -> str:
    """One segment as it is written in routes.yaml."""
    lettered = ignore_case and any((a.plain or "").isalpha() or a.branches or a.plain is None for a in atoms)
    if all(atom.plain is not None and not atom.quantifier for atom in atoms) and not lettered:
        return "".join(atom.plain or "" for atom in atoms)
    name = _free(next((atom.name for atom in atoms if atom.name), "part"), names)
    groups = [number for number, atom in enumerate(atoms) if atom.branches]
    others = [atom for atom in atoms if not atom.branches]
    literal = all(atom.plain is not None and not atom.quantifier for atom in others)
    if len(groups) == 1 and others and literal and not ignore_case and not atoms[groups[0]].quantifier:
        before, behind = atoms[: groups[0]], atoms[groups[0] + 1 :]
        body = "{" + name + ":" + atoms[groups[0]].source + "}"
        return "".join(a.plain or "" for a in before) + body + "".join(a.plain or "" for a in behind)
    source = "".join(atom.source for atom in atoms)
    if source in (
        "[^/]+",
        "[^/]*",
        "(?:[^/]+)",
        "(?:[^/]*)",
        "(?:[^/]+?)",
        "[^/?]+",
        "(?:[^/?]+)",
        ".+",
        "(?:[^/#?]+)",
    ):
        return "{" + name + "}"
    return "{" + name + ":" + ("(?i)" if ignore_case else "") + source + "}"


def _free(name: str, names: set[str]) -> str:
    number = 1
    free = name
    while free in names:
        number += 1
        free = f"{name}{number}"
    names.add(free)
    return free

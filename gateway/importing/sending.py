"""Changes of the path that is sent, one after the other, as one rewrite."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from gateway.importing.description import Path
from gateway.importing.patterns import Pattern, as_it_came, beginning, below, intersection, is_literal, transferred
from gateway.importing.regexes import Unsayable, patterns_of


def without(path: Path, prefixes: Iterable[str]) -> list[Path]:
    """Without the first of these prefixes that it has, compared character by character; otherwise as it was."""
    made: list[Path] = []
    for prefix in [prefix.rstrip("/") for prefix in prefixes if prefix.strip("/")]:
        if path.rewrite is not None or path.strip is not None or path.stray:
            sent = _sent(path)
            if sent.startswith(prefix):
                return [replace(path, rewrite=_rooted(sent.removeprefix(prefix)), strip=None)]
            continue
        common = intersection(path.pattern, below(prefix))
        if common == path.pattern:
            return [*made, replace(path, strip=prefix)]
        if common is not None:
            made.append(replace(path, pattern=common, strip=prefix))
    return [*made, path]


def behind(path: Path, prefix: str) -> Path:
    """With a prefix in front."""
    return replace(path, rewrite=prefix.rstrip("/") + _sent(path), strip=None)


def instead(path: Path, text: str) -> Path:
    """Always this path."""
    return replace(path, rewrite=_rooted(text), strip=None)


def replaced(path: Path, expression: str, replacement: str) -> list[Path]:
    """What a regular expression fits, replaced; the rest as it was. Raises Unsayable."""
    if (form := _prefix_form(expression, replacement)) is not None:
        return _with_prefix(path, *form)
    found = patterns_of(expression, anywhere=True)
    if not found.grouped and "$" in replacement:
        raise Unsayable("its groups are not whole segments, or more than they")
    if path.rewrite is not None or path.strip is not None:
        raise Unsayable("the path was changed before; write both changes as one rewrite")
    template = re.sub(r"\$\{(\w+)\}", r"$\1", replacement)
    made = []
    for pattern in found.patterns:
        common = intersection(pattern, path.pattern)
        rewrite = None if common is None else transferred(template, pattern, common)
        if common is not None and rewrite is None:
            raise Unsayable("what it captures cannot be told apart in the path of the route")
        if common is not None and rewrite is not None:
            made.append(replace(path, pattern=common, rewrite=_rooted(rewrite)))
    return _with_rest(made, path)


def _with_rest(made: list[Path], path: Path) -> list[Path]:
    """What was changed, and of the path what was not."""
    if any(each.pattern == path.pattern for each in made):
        return made
    if any(each.pattern.text == path.pattern.text and each.pattern.excluded for each in made):
        return [*made, replace(path, pattern=Pattern(path.pattern.segments))]
    return [*made, path]


_PREFIX = re.compile(
    r"\^?(?P<prefix>(?:/|\\/)[\w./~%\\-]*?)(?P<slash>/\?|\\/\?|/|\\/|\(\?:/\|\$\)|\(/\|\$\))?"
    r"(?:\((?P<rest>\.\*|\.\+)\)|\((?P<own>(?:/|\\/)\.\*)\)(?P<maybe>\?)?)\$?"
)


def _prefix_form(expression: str, replacement: str) -> tuple[Sequence[Pattern], str] | None:
    """A prefix that is replaced, what follows it kept: what has this prefix, and what comes in the place of all that
    is before the rest, which begins without a slash."""
    match = _PREFIX.fullmatch(expression)
    if match is None:
        return None
    slash = match["slash"] or ""
    number = 2 if slash == "(/|$)" else 1
    kept = re.fullmatch(rf"([^$]*)\$(?:\{{{number}\}}|{number})", replacement)
    prefix = re.sub(r"\\(.)", r"\1", match["prefix"]).rstrip("/")
    if kept is None or not prefix:
        return None
    taken = slash != "" and match["own"] is None
    patterns = [below(prefix), beginning(prefix)]
    if slash in ("/", "\\/") or (match["own"] and not match["maybe"]):
        patterns = [below(prefix + "/")]
    elif match["own"]:
        patterns = [below(prefix)]
    return patterns, kept[1] + ("" if taken else "/")


def _with_prefix(path: Path, patterns: Sequence[Pattern], instead: str) -> list[Path]:
    if path.rewrite is not None or path.strip is not None:
        raise Unsayable("the path was changed before; write both changes as one rewrite")
    made: list[Path] = []
    for pattern in patterns:
        stray = pattern.segments[-1].endswith("*")
        template = instead.removesuffix("/") + "$1/$2" if stray and len(patterns) > 1 else instead + "$1"
        common = intersection(pattern, path.pattern)
        rewrite = None if common is None else transferred(template, pattern, common)
        if common is not None and rewrite is not None:
            made.append(replace(path, pattern=common, rewrite=_rooted(rewrite)))
    return _with_rest(made, path)


def _sent(path: Path) -> str:
    if path.rewrite is not None:
        return path.rewrite
    sent = as_it_came(path.pattern)
    if path.strip is None:
        return sent
    if not sent.startswith(path.strip) or not all(map(is_literal, path.pattern.segments[: path.strip.count("/")])):
        raise Unsayable("a prefix that may or may not be there is removed first")
    return _rooted(sent.removeprefix(path.strip))


def _rooted(text: str) -> str:
    return re.sub("/+", "/", "/" + text)

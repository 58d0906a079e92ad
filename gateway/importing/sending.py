"""Changes of the path that is sent, one after the other, as one rewrite."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from gateway.importing.description import Path
from gateway.importing.patterns import (
    Pattern,
    as_it_came,
    beginning,
    below,
    covers,
    intersection,
    is_literal,
    transferred,
)
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
        if common is not None and not _is_among(common, made):
            made.append(replace(path, pattern=common, strip=prefix))
        within = intersection(path.pattern, beginning(prefix))
        rewrite = None if within is None else transferred("/$1/$2", beginning(prefix), within)
        if within is not None and rewrite is not None and not _is_among(within, made):
            made.append(
                replace(path, pattern=within, rewrite=_rooted(rewrite), stray=within.segments[-1].endswith("*"))
            )
    return [*made, path]


def _is_among(pattern: Pattern, made: Sequence[Path]) -> bool:
    return any(covers(each.pattern, pattern) for each in made)


def behind(path: Path, prefix: str) -> Path:
    """With a prefix in front."""
    return replace(path, rewrite=prefix.rstrip("/") + _sent(path), strip=None)


def instead(path: Path, text: str) -> Path:
    """Always this path."""
    return replace(path, rewrite=_rooted(text), strip=None)


def replaced(path: Path, expression: str, replacement: str) -> list[Path]:
    """Replace what a regular expression matches; the rest is unchanged. Raises Unsayable."""
    if prefixes := _prefixes(expression, replacement):
        rewrites = prefixes
    else:
        found = patterns_of(expression, anywhere=True)
        if not found.grouped and "$" in replacement:
            raise Unsayable("its groups are not whole segments, or more than they")
        rewrites = dict.fromkeys(found.patterns, re.sub(r"\$\{(\w+)\}", r"$\1", replacement))
    if path.rewrite is not None or path.strip is not None:
        raise Unsayable("the path was changed before; write both changes as one rewrite")
    made = []
    for pattern, template in rewrites.items():
        common = intersection(pattern, path.pattern)
        rewrite = None if common is None else transferred(template, pattern, common)
        if common is not None and rewrite is not None:
            made.append(replace(path, pattern=common, rewrite=_rooted(rewrite)))
        elif common is not None and not prefixes:
            raise Unsayable("its captures cannot be distinguished in the path of the route")
    # What is left of the path is unchanged.
    if any(each.pattern == path.pattern for each in made):
        return made
    if any(each.pattern.text == path.pattern.text and each.pattern.excluded for each in made):
        return [*made, replace(path, pattern=Pattern(path.pattern.segments))]
    return [*made, path]


_PREFIX = re.compile(
    r"\^?(?P<prefix>(?:/|\\/)[\w./~%\\-]*?)(?P<slash>/\?|\\/\?|/|\\/|\(\?:/\|\$\)|\(/\|\$\))?"
    r"(?:\((?P<rest>\.\*|\.\+)\)|\((?P<own>(?:/|\\/)\.\*)\)(?P<maybe>\?)?)\$?"
)


def _prefixes(expression: str, replacement: str) -> dict[Pattern, str]:
    """The patterns of a prefix that is replaced, what follows it kept, each with its rewrite; none where the expression
    is something else."""
    match = _PREFIX.fullmatch(expression)
    if match is None:
        return {}
    slash = match["slash"] or ""
    number = 2 if slash == "(/|$)" else 1
    kept = re.fullmatch(rf"([^$]*)\$(?:\{{{number}\}}|{number})", replacement)
    prefix = re.sub(r"\\(.)", r"\1", match["prefix"]).rstrip("/")
    if kept is None or not prefix:
        return {}
    start = kept[1] if slash != "" and match["own"] is None else kept[1] + "/"
    if slash in ("/", "\\/") or (match["own"] and not match["maybe"]):
        return {below(prefix + "/"): start + "$1"}
    if match["own"]:
        return {below(prefix): start + "$1"}
    return {below(prefix): start + "$1", beginning(prefix): start.removesuffix("/") + "$1/$2"}


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

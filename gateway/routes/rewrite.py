"""How the path of a matched request is changed before it is sent.

A rewrite is a path with `$1`, `$2`, ... (the wildcards of the pattern, counted from the left) and `{name}` in it. The
rest that a trailing `*` took keeps its slash when `/$1` ends the rewrite: with `/api/$1` for `/v1/x/*`, `/v1/x/a/b`
becomes `/api/a/b`, `/v1/x/` becomes `/api/` and `/v1/x` becomes `/api`.

What a client wrote can never change what a rewrite means: either the result is in normal form, or there is none.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.http.paths import (
    PathError,
    compared,
    is_sendable,
    merge_slashes,
    normalise,
    normalise_literal,
    sendable_literal,
)
from gateway.routes.pattern import (
    CAPTURE,
    WILD,
    Pattern,
    Segment,
    fits,
    has_expression,
    is_whole,
    literal_length,
    split,
    taker,
    with_expressions,
)
from gateway.routes.wildcards import Expression, PatternError

Reader = Callable[[str, Sequence[str]], Sequence[str]]
"""The captures of the wildcards in a matching path, also given as its segments (the first is the "" before the slash).

The rest comes twice, without its leading slash and with it: a rewrite may want either.
"""

Sender = Callable[[str, Sequence[str]], str | None]
"""The path to send for a path that fits and what its wildcards took. None: there is no safe one."""

_REFERENCE: Final = re.compile(r"\$(\d+)|\{([^{}]*)\}")
_CAPTURES: Final = re.compile(f"{CAPTURE}+")


@dataclass(frozen=True, slots=True)
class Template:
    """A rewrite parsed for one pattern: `text` has a `CAPTURE` for each of `captures`, which count wildcards from 0.

    The escapes of `text` are those of the file: it is written as it is sent, not as it is compared.

    `ends_in_rest`: its end is "/" and the rest of the path, which come and go together.
    """

    source: str
    text: str
    captures: tuple[int, ...]
    ends_in_rest: bool


def parse_template(source: str, pattern: Pattern) -> Template:
    """Parse a rewrite of paths that fit `pattern`. Raises `PatternError`."""
    captures = tuple([_referred(source, match, pattern) for match in _REFERENCE.finditer(source)])
    text = _REFERENCE.sub(CAPTURE, source)
    if "*" in text or "{" in text or "}" in text:
        raise PatternError(f'rewrite "{source}": write "$1" for the capture of the first wildcard, or "{{name}}"')
    text = _literal("rewrite", source, text)
    ends_in_rest = pattern.rest and text.endswith("/" + CAPTURE) and captures[-1] == len(pattern.names) - 1
    return Template(source, text, captures, ends_in_rest)


def parse_prefix(what: str, source: str) -> str:
    """Parse a base path or a prefix to strip, without its trailing slash ("" for none). Raises `PatternError`."""
    text = source.rstrip("/")
    return normalise_literal(_literal(what, source, text)) if text else ""


def rewritten_pattern(template: Template, pattern: Pattern) -> Pattern | None:
    """Return the pattern of the paths that a rewrite makes, None if nearly every path would fit it."""
    text = template.text[:-2] if template.ends_in_rest else template.text
    segments = split(normalise_literal(_CAPTURES.sub(CAPTURE, text)))
    if any(map(has_expression, pattern.segments)) and CAPTURE * 2 not in text:
        # What each wildcard wants, the rest left out.
        pieces = [piece for segment in pattern.segments if not isinstance(segment, str) for piece in segment]
        wanted = [piece if isinstance(piece, Expression) else None for piece in pieces if not isinstance(piece, str)]
        segments = with_expressions(segments, [wanted[number] for number in template.captures if number < len(wanted)])
        segments = tuple([_without_crowd(segment) for segment in segments])
    # Name the wildcards of the rewritten form by what they come from; references side by side are one wildcard.
    names: list[str | None] = []
    references = iter(template.captures)
    for run in _CAPTURES.findall(template.text):
        first, *_ = [pattern.names[next(references)] for _ in run]
        names.append(None if first in names else first)
    return _useful(Pattern(template.source, segments, template.ends_in_rest, tuple(names)))


def stripped_pattern(prefix: str, pattern: Pattern) -> Pattern | None:
    """Return the pattern of the paths that stripping makes, None if it strips nothing or nearly every path would fit.

    So `/users/*` is left of `/v1/users/*`, but the `/*` that is left of `/v1/*` is of no use.
    """
    removed = split(prefix)
    if not removed or pattern.segments[: len(removed)] != removed:
        return None
    segments = pattern.segments[len(removed) :]
    if not segments and not pattern.rest:
        segments = split("/")
    source = "/" + "/".join(pattern.source.split("/")[len(removed) + 1 :])
    return _useful(Pattern(source, segments, pattern.rest, pattern.names))


def reader(pattern: Pattern) -> Reader:
    """Compile the reading of what the wildcards of `pattern` took."""
    wildcards = [(index, s) for index, s in enumerate(pattern.segments, 1) if not isinstance(s, str)]
    if len(wildcards) == 1 and is_whole(wildcards[0][1]) and not pattern.rest:
        only = wildcards[0][0]
        return lambda path, segments: (segments[only],)
    takers = [(index, taker(segment)) for index, segment in wildcards]
    rest = len(pattern.segments) + 1 if pattern.rest else 0

    def read(path: str, segments: Sequence[str]) -> Sequence[str]:
        taken: list[str] = []
        for index, take in takers:
            taken += take(segments[index]) or ()
        if rest:
            remaining = "/".join(segments[rest:])
            taken += (remaining, "/" + remaining if len(segments) > rest else "")
        return taken

    return read


class Cut:
    """A Sender that puts `head` in place of the first `start` characters: what most routes need.

    `RouteTable` does it by itself, as a call costs more.
    """

    __slots__ = ("head", "start")

    def __init__(self, start: int, head: str = "") -> None:
        self.start = start
        self.head = head

    def __call__(self, path: str, taken: Sequence[str]) -> str:
        return self.head + path[self.start :] or "/"


def send_as_matched(base: str) -> Sender:
    """Compile the sending of the path as it is, without `base` in front of it."""
    return Cut(len(base))


def send_stripped(prefix: str, base: str) -> Sender:
    """Compile the removing of `base`, and then of `prefix` where it ends at the end of a segment."""
    start, directory = len(base), prefix + "/"

    def send(path: str, taken: Sequence[str]) -> str:
        path = path[start:]
        if path == prefix or path.startswith(directory):
            path = path[len(prefix) :]
        return path or "/"

    return send


def send_rewritten(template: Template, pattern: Pattern) -> Sender:
    """Compile a rewrite of paths that fit `pattern`: the one that `template` was parsed for, or that under a base."""
    if not reads_captures(template, pattern):
        return (
            Cut(len(pattern.sample("")) - 1, template.text[:-2])
            if template.captures
            else lambda path, taken: template.text
        )
    write = _format(template, pattern).format
    # Whether every result is in normal form because only whole segments go where whole segments were.
    text, captures = template.text, template.captures
    if template.ends_in_rest:
        text, captures = text[:-2], captures[:-1]
    # The wildcards, counted from 0, that take a whole segment each.
    wildcards = [is_whole(s) for s in pattern.segments if not isinstance(s, str) for p in s if not isinstance(p, str)]
    whole = {number for number, whole in enumerate(wildcards) if whole}
    if all(isinstance(s, str) or s == WILD for s in split(text)) and all(capture in whole for capture in captures):
        return lambda path, taken: write(*taken) or "/"
    return lambda path, taken: _checked(write(*taken))


def is_invertible(template: Template, pattern: Pattern) -> bool:
    """Whether what the wildcards of `pattern` took can be recovered from the rewritten path.

    Not where the rewrite drops or repeats what one took, or joins two of them.
    """
    return sorted(template.captures) == list(range(len(pattern.names))) and CAPTURE * 2 not in template.text


def invert_rewritten(template: Template, pattern: Pattern, rewritten: Pattern) -> Callable[[str], str | None]:
    """Compile the way back, from a path that fits `rewritten` to the one that fits `pattern` and is rewritten to it.

    For an invertible template. The function gives None for a path that no path of the route is rewritten to. It is made
    when it is first needed, which in most configurations is never.
    """
    made: Callable[[str], str | None] | None = None

    def invert(path: str) -> str | None:
        nonlocal made
        made = made or _way_back(template, pattern, rewritten)
        return made(path)

    return invert


def _way_back(template: Template, pattern: Pattern, rewritten: Pattern) -> Callable[[str], str | None]:
    places = tuple([template.captures.index(number) for number in range(len(pattern.names))])
    way_back = Template(pattern.source, pattern.sample(CAPTURE), places, rewritten.rest)
    send_back = send_rewritten(way_back, rewritten)
    if not reads_captures(template, pattern) and not reads_captures(way_back, rewritten):
        return lambda path: send_back(path, ())
    read_back, read, send = reader(rewritten), reader(pattern), send_rewritten(template, pattern)

    def checked(path: str) -> str | None:
        own = send_back(path, read_back(path, path.split("/")))
        if own is None or not fits(pattern, own.split("/")[1:]):
            return None
        sent = send(own, read(own, own.split("/")))
        return own if sent is not None and compared(sent) == path else None

    return checked


def invert_stripped(prefix: str, pattern: Pattern) -> Callable[[str], str | None]:
    """The same for what stripping makes of paths that fit `pattern`."""
    if pattern.literal is not None:
        only = pattern.literal
        return lambda path: only
    return lambda path: prefix + path


def reads_captures(template: Template, pattern: Pattern) -> bool:
    """Whether the rewrite needs what the wildcards took; a rest behind literal text is cut out of the path instead."""
    return bool(template.captures) and not (template.ends_in_rest and len(template.captures) == len(pattern.names) == 1)


def _format(template: Template, pattern: Pattern) -> str:
    """Return the rewrite as a format string. Literal braces cannot be in it: they are percent-encoded."""
    text = template.text
    numbers = list(template.captures)
    if template.ends_in_rest:
        text = text[:-2] + CAPTURE
        numbers[-1] = len(pattern.names)
    references = iter(numbers)
    return re.sub(CAPTURE, lambda _: f"{{{next(references)}}}", text)


def _without_crowd(segment: Segment) -> Segment:
    """Where a rewrite puts several wildcards into one segment, their regular expressions wait for the way back."""
    if isinstance(segment, str) or sum(not isinstance(piece, str) for piece in segment) == 1:
        return segment
    return tuple([piece if isinstance(piece, str) else None for piece in segment])


def _checked(path: str) -> str | None:
    """Merge slashes where a piece was empty; refuse what has become a dot segment."""
    merged = merge_slashes(path)
    return merged if is_sendable(merged) else None


def _useful(pattern: Pattern) -> Pattern | None:
    return pattern if not pattern.names or any(map(literal_length, pattern.segments)) else None


def _referred(source: str, match: re.Match[str], pattern: Pattern) -> int:
    number, name = match.groups()
    if number is None and name in pattern.names:
        return pattern.names.index(name)
    if number is not None and 1 <= int(number) <= len(pattern.names):
        return int(number) - 1
    known = [f"${n}" for n in range(1, len(pattern.names) + 1)] + [f"{{{n}}}" for n in pattern.names if n]
    remedy = f"there is {', '.join(known)}" if known else "it has no wildcards"
    raise PatternError(f'rewrite "{source}" uses "{match[0]}", which path "{pattern.source}" does not have; {remedy}')


def _literal(what: str, source: str, text: str) -> str:
    """Write configured text, with `CAPTURE` for wildcards, as it is sent, or say what keeps it from that."""
    text = sendable_literal(text)
    sample = text.replace(CAPTURE, "x")
    try:
        sent = normalise(sample.encode()).sent
    except PathError as error:
        raise PatternError(f'{what} "{source}" cannot be sent: {error}') from None
    if sent != sample or "//" in sample:
        raise PatternError(f'{what} "{source}" has dot segments or repeated slashes; write it without them')
    return text

"""The path to send for one that the client spelled differently from compared paths: with its own slashes and escapes.

A rule is chosen, and its wildcards are read, by the path as it is compared. Here the same is made once more of the
client's spelling: nearly no request needs it, so that it is plain rather than fast.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from gateway.http.paths import PathError, compared
from gateway.routes.pattern import CAPTURE, Pattern, taker
from gateway.routes.rewrite import Template

_OCTET: Final = re.compile(r"%[0-9A-Fa-f]{2}|.")


def spell(path: str, pieces: tuple[str, ...], sent: str, pattern: Pattern, template: Template | None, lead: str) -> str:
    """Spell `sent`, which was made of `path`, as the client spelled `path`.

    `pieces` has the client's spelling of every segment with the slashes before it. Whatever comes of it is the same as
    `sent` once it is compared: where it is not, `sent` stays.
    """
    # `sent` is the end of `path`, or "/" where nothing was left of it.
    spelled = (
        ("".join(pieces[-sent.count("/") :]) if path.endswith(sent) else sent)
        if template is None
        else lead + _rewritten(path, pieces, pattern, template)
    )
    try:
        return spelled if compared(spelled) == compared(sent) else sent
    except PathError:
        return sent


def _rewritten(path: str, pieces: tuple[str, ...], pattern: Pattern, template: Template) -> str:
    taken = list(_taken(path.split("/"), pieces, pattern))
    first, *literals = template.text.split(CAPTURE)
    made = first
    for number, literal in zip(template.captures, literals, strict=True):
        text = taken[number]
        if text.startswith("/"):  # the rest, with all slashes before it
            text = text[1:] if made.endswith("/") else text.lstrip("/")
        elif not text and made.endswith("/") and not literal:
            made = made[:-1]  # no rest, and so no slash before it
        made += text
        made += literal[1:] if made.endswith("/") and literal.startswith("/") else literal
    return made or "/"


def _taken(segments: Sequence[str], pieces: tuple[str, ...], pattern: Pattern) -> Iterator[str]:
    """The capture of each wildcard, as the client spelled it; the rest with all slashes before it."""
    for wanted, segment, piece in zip(pattern.segments, segments[1:], pieces, strict=False):
        if not isinstance(wanted, str):
            # What the wildcards took of one segment: both spellings have the same number of octets.
            spelled = piece.lstrip("/")
            plain = tuple([piece if isinstance(piece, str) else None for piece in wanted])  # it is known to fit
            texts = iter(taker(plain)(segment) or ())
            octets, position = _OCTET.findall(spelled), 0
            for literal in plain:
                end = position + len(_OCTET.findall(next(texts, "") if literal is None else literal))
                if literal is None:
                    yield "".join(octets[position:end])
                position = end
    if pattern.rest:
        yield "".join(pieces[len(pattern.segments) :])

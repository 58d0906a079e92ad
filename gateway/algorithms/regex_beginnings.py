"""With which texts all that fits a regular expression begins, so that many expressions can be found by them."""

from __future__ import annotations

from gateway.algorithms.regex_syntax import Chain, Chars, Choice, Node, parse

MOST = 32  # beginnings of one expression
LONGEST = 64  # characters of one of them

Beginnings = tuple[tuple[str, ...], bool]
"""The texts, of which none may be long, and whether these are all that fits, not only beginnings of it."""

_ANYTHING: Beginnings = ("",), False
_NOTHING: Beginnings = ("",), True


def beginnings(pattern: str) -> tuple[str, ...]:
    """What fits begins with one of these; where upper and lower case of ASCII are the same to it, in one of its
    spellings. It is ("",) where nothing is known. Raises `RegexError`."""
    return _of(parse(pattern)[0])[0]


def every_text(pattern: str) -> tuple[str, ...] | None:
    """All that fits, in one spelling; None where that is too much, or not known. Raises `RegexError`."""
    texts, whole = _of(parse(pattern)[0])
    return texts if whole else None


def _of(node: Node) -> Beginnings:
    if isinstance(node, Chars):
        codes = [code for low, high in node.ranges for code in range(low, min(high, low + MOST) + 1)]
        known = not node.negated and len(codes) <= MOST
        return (tuple(map(chr, dict.fromkeys(codes))), True) if known else _ANYTHING
    if isinstance(node, Chain):
        return _joined(node.items)
    if isinstance(node, Choice):
        parts = [_of(item) for item in node.items]
        texts = tuple(dict.fromkeys(text for part, _ in parts for text in part))
        return (texts, all(whole for _, whole in parts)) if len(texts) <= MOST else _ANYTHING
    if node.least == 0:
        return _optional(_of(node.item)) if node.most == 1 else _ANYTHING
    texts, whole = _joined((node.item,) * min(node.least, LONGEST))
    return texts, whole and node.most == node.least <= LONGEST


def _joined(items: tuple[Node, ...]) -> Beginnings:
    """One after the other, up to the first that is not known, or that makes too many or too long ones."""
    texts, whole = _NOTHING
    for item in items:
        following, whole = _of(item)
        longer = tuple(dict.fromkeys(text + one for text in texts for one in following))
        if len(longer) > MOST or max(map(len, longer)) > LONGEST:
            return texts, False
        texts = longer
        if not whole:
            break
    return texts, whole


def _optional(part: Beginnings) -> Beginnings:
    return ("", *part[0]), part[1]

"""The path that Kong sends to a backend, for prefixes, expressions and exact paths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from gateway.importing.description import Path, marked
from gateway.importing.patterns import TYPED, Pattern, as_it_came, beginning, below, literal
from gateway.importing.regexes import Unsayable, head_of, patterns_of
from gateway.importing.tree import Item

Rank = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Sending:
    """How a route sends its paths: behind `base`, the path of its service; with `strip`, without what it matched.

    `joined`: there is one slash between the two. `heads` gets the literal beginnings of expressions that cannot be
    translated.
    """

    base: str
    strip: bool
    joined: bool = True
    heads: list[str] = field(default_factory=list)

    def everything(self, rank: Rank) -> Path:
        """All paths, as they came."""
        return Path(Pattern((), True), rank, self._behind("/$1"))

    def exact(self, text: str, rank: Rank) -> Path:
        """Exactly this path."""
        return Path(literal(text), rank, (self._join("") or "/") if self.strip else self._behind(text))

    def prefix(self, text: str, rank: Rank) -> Iterator[Path]:
        """Paths that begin with this text, character by character."""
        path, stray = Path(below(text), rank), Path(beginning(text), rank, stray=True)
        if not self.strip:
            yield replace(path, rewrite=self._behind(as_it_came(path.pattern)))
        elif self.base.rstrip("/"):
            yield replace(path, rewrite=self._join("$1"))
        else:
            yield replace(path, strip=text.rstrip("/") or None)
        if text.endswith("/"):
            return
        if not self.strip:
            yield replace(stray, rewrite=self._behind(as_it_came(stray.pattern)))
        else:
            slash = self.joined or self.base.endswith("/") or not self.base
            yield replace(stray, rewrite=self._join("$1/$2") if slash else self.base + "$1/$2")

    def expression(self, text: str, rank: Rank, item: Item, key: str = "", *, anywhere: bool = False) -> Iterator[Path]:
        """Paths that match this regular expression of `item`, or of a key of it."""
        try:
            found = patterns_of(text, anywhere=anywhere)
        except Unsayable as why:
            item.unsaid(f"the regular expression has no path of ours: {why}", key)
            if head := head_of(text, anywhere=anywhere):
                self.heads.append(head)
            return
        within_segment = [p for p in found.patterns if p.rest and p.segments and TYPED.fullmatch(p.segments[-1])]
        if self.strip and not anywhere and not found.anchored and within_segment:
            item.differs("it may end within a segment, of which all is removed then; write (/|$) at its end")
        for pattern in found.patterns:
            captures, rest = list(pattern.captures()), pattern.rest and not found.anchored
            if not self.strip:
                sent = self._behind(as_it_came(pattern))
            elif rest and pattern.segments and pattern.segments[-1].endswith("*"):
                sent = self._join("/".join(captures[-2:]))  # it ends within a segment, of which the rest is sent
            else:
                sent = self._join(captures[-1] if rest and captures else "") or "/"
            yield Path(pattern, rank, sent)

    def _behind(self, sent: str) -> str | None:
        """The path as it came behind the base; None where there is nothing in front."""
        return None if not self.base.strip("/") else marked(self.base.rstrip("/") + sent)

    def _join(self, rest: str) -> str:
        return marked(self.base.rstrip("/") + ("/" + rest if rest else ""))

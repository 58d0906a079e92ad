"""The interface of a format of the page."""

from __future__ import annotations

from typing import Protocol

from gateway.families import Family, Labels, Sample


class Writer(Protocol):
    """Writes families in one form. `labels` are made once for each series, and handed in again for its samples."""

    end: bytes  # of the page

    def labels(self, names: Labels, values: Labels) -> str | bytes:
        """The part of a sample that is always the same."""
        ...

    def sample(self, family: Family, labels: str | bytes, sample: Sample) -> bytes:
        """One sample; a histogram is one."""
        ...

    def head(self, family: Family, size: int) -> bytes:
        """The header of a family, whose samples take so many bytes."""
        ...


def unicode(text: str) -> str:
    """Text that can be UTF-8: what came as octets, or from a policy, may be none."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()

"""Numbers of things in sentences."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """`1 error`, `2 errors`, `1 entry`, `3 entries`."""
    if number == 1:
        return f"1 {thing}"
    plural = f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}es" if thing.endswith("s") else f"{thing}s"
    return f"{number} {plural}"

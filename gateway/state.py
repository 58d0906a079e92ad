"""What survives a reload: live things, kept by what makes them the same before and after."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Survivors(Generic[K, V]):
    """Live things by identity. A new configuration takes those it knows, and makes the others."""

    __slots__ = ("_living",)

    def __init__(self) -> None:
        self._living: dict[K, V] = {}

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The one that lives under this key, or a new one."""
        if key not in self._living:
            self._living[key] = make()
        return self._living[key]

    def keep_only(self, keys: Collection[K]) -> list[V]:
        """Forget all others, and return them, so that they can be brought to an end."""
        return [self._living.pop(key) for key in list(self._living) if key not in keys]

    def items(self) -> list[tuple[K, V]]:
        """All of them with their identities."""
        return list(self._living.items())

    def __iter__(self) -> Iterator[V]:
        return iter(list(self._living.values()))  # a reload may add some meanwhile, on its own thread

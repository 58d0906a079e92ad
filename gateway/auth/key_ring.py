"""The API keys of all consumers, by their hashes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.auth.key_files import KeyFiles
from gateway.auth.scheme import Recognised
from gateway.config.models import ConsumerConfig
from gateway.config.models.auth.consumers import ApiKeyConfig

Holder = Callable[[ConsumerConfig, str], Recognised]
"""Makes the identity of a consumer who shows a key with this fingerprint."""

FINGERPRINT_BYTES: Final = 6  # of the hash: enough to find the key by, too little to tell anything about it


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key: who holds it, and when (seconds since 1970)."""

    holder: Recognised
    not_before: float
    expires: float


class KeyRing:
    """Finds keys by the SHA-256 of them."""

    def __init__(self, consumers: Iterable[ConsumerConfig], holder: Holder, files: KeyFiles, base: Path) -> None:
        self._holder = holder
        self._files = files
        self._by_digest: dict[bytes, tuple[ConsumerConfig, ApiKeyConfig]] = {}
        self._by_file: dict[Path, tuple[ConsumerConfig, ApiKeyConfig]] = {}
        self._used: dict[bytes, ApiKey] = {}  # those of _by_digest that came up: to prepare 100,000 takes seconds
        self._found: Mapping[bytes, Path] = {}
        self._from_files: Mapping[bytes, ApiKey] = {}
        for consumer in consumers:
            for key in consumer.keys:
                if key.hash is not None:
                    self._by_digest[bytes.fromhex(key.hash.removeprefix("sha256:"))] = consumer, key
                elif key.file is not None:
                    self._by_file[base / key.file] = consumer, key

    def find(self, digest: bytes) -> ApiKey | None:
        """The key with this SHA-256."""
        key = self._used.get(digest)
        return self._first_use(digest) if key is None else key

    def _first_use(self, digest: bytes) -> ApiKey | None:
        named = self._by_digest.get(digest)
        if named is None:
            return self._in_files().get(digest) if self._by_file else None
        key = self._used[digest] = self._key(*named, digest)
        return key

    def _in_files(self) -> Mapping[bytes, ApiKey]:
        """The same of the keys in files, made again when those have changed."""
        if self._files.found is not self._found:
            self._found = self._files.found
            self._from_files = {
                digest: self._key(*self._by_file[path], digest)
                for digest, path in self._found.items()
                if path in self._by_file
            }
        return self._from_files

    def _key(self, consumer: ConsumerConfig, key: ApiKeyConfig, digest: bytes) -> ApiKey:
        holder = self._holder(consumer, "sha256:" + digest[:FINGERPRINT_BYTES].hex())
        begins = -math.inf if key.not_before is None else key.not_before
        return ApiKey(holder, begins, math.inf if key.expires is None else key.expires)


def key_paths(consumers: Iterable[ConsumerConfig], base: Path) -> frozenset[Path]:
    """The files that keys are in."""
    return frozenset(base / key.file for consumer in consumers for key in consumer.keys if key.file is not None)

"""gzip, Brotli and zstd behind one shape, at levels that keep up with traffic, each in less than 1 MiB of memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Protocol

import brotli
import zstandard

_WINDOW = 18  # 256 KiB, as a power of two; browsers take zstd up to 8 MiB (RFC 9659)


class Compressor(Protocol):
    """One stream on its way. `finish` once, and nothing after it."""

    def compress(self, data: bytes) -> bytes:
        """The compressed bytes so far; may be b"" while more input is collected."""
        ...

    def flush(self) -> bytes:
        """All that was collected, so that the client can read everything up to here."""
        ...

    def finish(self) -> bytes:
        """The rest, and the end."""
        ...


class Gzip:
    """RFC 1952."""

    __slots__ = ("_stream",)

    def __init__(self) -> None:
        self._stream = zlib.compressobj(4, zlib.DEFLATED, 16 + zlib.MAX_WBITS)

    def compress(self, data: bytes) -> bytes:
        return self._stream.compress(data)

    def flush(self) -> bytes:
        return self._stream.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._stream.flush(zlib.Z_FINISH)


class Brotli:
    """RFC 7932."""

    __slots__ = ("_stream",)

    def __init__(self) -> None:
        self._stream = brotli.Compressor(quality=4, lgwin=_WINDOW)

    def compress(self, data: bytes) -> bytes:
        return bytes(self._stream.process(data))

    def flush(self) -> bytes:
        return bytes(self._stream.flush())

    def finish(self) -> bytes:
        return bytes(self._stream.finish())


class Zstd:
    """RFC 8878."""

    __slots__ = ("_stream",)

    def __init__(self) -> None:
        parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=_WINDOW)
        self._stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()

    def compress(self, data: bytes) -> bytes:
        return self._stream.compress(data)

    def flush(self) -> bytes:
        return self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def finish(self) -> bytes:
        return self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)


COMPRESSORS: Mapping[str, Callable[[], Compressor]] = {"gzip": Gzip, "br": Brotli, "zstd": Zstd}

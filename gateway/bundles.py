"""The files of a configuration as one value that is named by its contents."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Final

import orjson

MOST_BYTES: Final = 16 * 1024**2  # of all files together
MOST_FILES: Final = 256
MOST_NAME: Final = 200  # characters
MOST_WINDOW: Final = 8 * 1024**2  # bytes that the decompressor may need

MEDIA_TYPE: Final = "application/vnd.flowmaster.bundle+zstd"

CONTROL_PLANE_FILE: Final = "control-plane.yaml"

_PART: Final = r"[A-Za-z0-9_][A-Za-z0-9._@+-]*"
_ENDINGS = (".yaml", ".yml", ".json")

is_digest: Final = re.compile(r"[0-9a-f]{64}").fullmatch
"""Whether a text has the form of a digest."""


class BundleError(ValueError):
    """This is no bundle. `file`: the one that is to blame, if it is one; the text says what to do."""

    def __init__(self, message: str, file: str = "") -> None:
        super().__init__(f"{file}: {message}" if file else message)
        self.message = message
        self.file = file


@dataclass(frozen=True)
class Bundle:
    """Files by their names, relative to the configuration directory, with `/`. Raises BundleError for what is none."""

    files: Mapping[str, bytes]

    def __post_init__(self) -> None:
        if not self.files:
            raise BundleError("there are no files in it; it needs a routes.yaml, or a models.yaml")
        if len(self.files) > MOST_FILES:
            raise BundleError(f"it has more than {MOST_FILES} files; put some of them together")
        if self.size > MOST_BYTES:
            raise BundleError(f"its files have more than {MOST_BYTES // 1024**2} MiB together; make them smaller")
        for name, content in self.files.items():
            _check_name(name)
            try:
                content.decode()
            except UnicodeDecodeError:
                raise BundleError("this is not UTF-8; save the file as UTF-8", name) from None
        for name in self.files:
            for parent in _parents(name):
                if parent in self.files:
                    raise BundleError(f"{parent} is a file and a directory; rename one of them", name)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.files.values()))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names and contents, each behind its length, sorted by name; 64 hexadecimal digits."""
        digest = sha256()
        for name, content in sorted(self.files.items()):
            encoded = name.encode()
            digest.update(b"%d:" % len(encoded) + encoded + b"%d:" % len(content) + content)
        return digest.hexdigest()

    def pack(self) -> bytes:
        """The packed form for transfer and storage: JSON of names and texts, compressed with zstd."""
        import zstandard  # noqa: PLC0415  most gateways have no bundle

        texts = {name: content.decode() for name, content in sorted(self.files.items())}
        return zstandard.ZstdCompressor(level=6, write_checksum=True).compress(orjson.dumps({"files": texts}))


def unpack(data: bytes, most: int = MOST_BYTES) -> Bundle:
    """The bundle that `pack` made. Raises BundleError where it is none, or has more than `most` bytes."""
    import zstandard  # noqa: PLC0415  see `pack`

    decompressor = zstandard.ZstdDecompressor(max_window_size=MOST_WINDOW)
    limit = 6 * most + 64 * 1024  # of JSON, where each character may be an escape
    try:
        text = decompressor.stream_reader(io.BytesIO(data)).read(limit + 1)
    except zstandard.ZstdError:
        raise BundleError("the data is not a packed bundle, or is incomplete") from None
    if len(text) > limit:
        raise BundleError(f"it is larger than {most} bytes")
    try:
        read = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BundleError("the data is not a packed bundle, or is incomplete") from None
    files = read.get("files") if isinstance(read, dict) else None
    if not isinstance(files, dict) or not all(isinstance(content, str) for content in files.values()):
        raise BundleError('the data is not a packed bundle: it has no "files" with texts')
    del text, read
    if sum(map(len, files.values())) > most:
        raise BundleError(f"it is larger than {most} bytes")
    bundle = Bundle({name: content.encode() for name, content in files.items()})
    if bundle.size > most:
        raise BundleError(f"it is larger than {most} bytes")
    return bundle


def _check_name(name: str) -> None:
    if len(name) > MOST_NAME:
        raise BundleError(f"a name has more than {MOST_NAME} characters; shorten it", name[:40] + "...")
    shown = name if name.isprintable() else ascii(name)
    if not all(re.fullmatch(_PART, part) for part in name.split("/")):
        message = (
            "a name is a relative path of letters, digits and ._@+-, whose parts do not begin with a dot; rename it"
        )
        raise BundleError(message, shown)
    if not name.endswith(_ENDINGS):
        raise BundleError(
            f"only files {', '.join('*' + each for each in _ENDINGS)} are in a bundle; leave it out", shown
        )
    if name.rpartition("/")[2] == CONTROL_PLANE_FILE:
        raise BundleError("this is the control plane's own file, which no gateway reads; leave it out", shown)


def _parents(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]

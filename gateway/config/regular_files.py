"""Small files, read whole: secrets, keys, the configuration itself. A pipe or a device is refused."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

MAX_SECRET_BYTES = 64 * 1024


def read_secret(path: Path) -> str:
    """The text of a small file, without the newline at its end. Raises OSError or ValueError."""
    data = read_regular(path, MAX_SECRET_BYTES)
    return data.decode("utf-8").removesuffix("\n").removesuffix("\r")


def read_regular(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes. A pipe or device, which might never end, is refused."""
    with opened_regular(path) as raw, open(raw.fileno(), "rb", closefd=False) as file:
        data: bytes | None = file.read(limit + 1)
    if data is None:  # of a file of the kernel, such as /proc/kmsg
        raise ValueError("reading it would wait for something to be written")
    if len(data) > limit:
        raise ValueError(f"it is larger than {limit // 1024} KiB")
    return data


@contextmanager
def opened_regular(path: Path) -> Iterator[FileIO]:
    """A regular file, to be read. Raises OSError or ValueError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is not a regular file")
        with FileIO(descriptor, closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def to_mend(error: OSError) -> str:
    """What to do about a file or directory that could not be read."""
    if isinstance(error, PermissionError):
        return "give the gateway's user the right to read it and to enter the directories above it"
    return "create it, or correct the path"

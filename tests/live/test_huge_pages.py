"""Large memory in huge pages, which Linux gives from 6.1 on."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

BEGIN = """
import asyncio, mmap
from gateway.live.huge_pages import use_huge_pages
from gateway.server import memory

def kibibytes(name):
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))

def held():
    return [(number, str(number)) for number in range(500_000)]
"""


def _system_gives_them() -> bool:
    version = tuple(map(int, re.findall(r"\d+", platform.release())[:2]))
    enabled = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return sys.platform == "linux" and version >= (6, 1) and enabled.exists() and "[never]" not in enabled.read_text()


pytestmark = pytest.mark.skipif(not _system_gives_them(), reason="this system gives no huge pages")


def _run(program: str) -> list[str]:
    command = [sys.executable, "-c", BEGIN + program]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.split()


def test_large_memory_comes_into_huge_pages() -> None:
    """A good part of what is in use is in them afterwards, and is what it was."""
    all_of_it, huge, right = _run("""
values = held()
use_huge_pages()
print(kibibytes("Rss"), kibibytes("AnonHugePages"), values == held())
""")
    assert int(huge) > int(all_of_it) / 4
    assert right == "True"


def test_memory_that_is_hardly_used_stays_as_it_is() -> None:
    """What is reserved, and in use only here and there, takes no more memory than before."""
    before, after = _run("""
kept = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE)
for number in range(0, len(kept), 1 << 20):
    kept[number] = 1
before = kibibytes("Rss")
use_huge_pages()
print(before, kibibytes("Rss"))
""")
    assert int(after) - int(before) < 16 << 10


def test_it_is_done_once_memory_grows_no_more() -> None:
    """Nobody asks for it: the gateway looks at its memory."""
    (huge,) = _run("""
memory.INTERVAL = 0.05

async def grow():
    looking = asyncio.create_task(memory.keep_in_huge_pages())
    values = held()
    async with asyncio.timeout(30):
        while not kibibytes("AnonHugePages"):
            await asyncio.sleep(0.05)
    looking.cancel()
    print(kibibytes("AnonHugePages"))

asyncio.run(grow())
""")
    assert int(huge) > 0

"""Sends a burst: `python -m tests.limits.burst CONNECTIONS REQUESTS PATH PORT...` prints {status: count}.

All connections, each to the next of the ports, are open before the first request; then all ask at once.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter

import uvloop


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, times: int) -> Counter[int]:
    statuses: Counter[int] = Counter()
    for _ in range(times):
        writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        statuses[int(head.split(b" ", 2)[1])] += 1
    return statuses


async def _burst(connections: int, times: int, path: str, ports: list[int]) -> Counter[int]:
    streams = [await asyncio.open_connection("127.0.0.1", ports[number % len(ports)]) for number in range(connections)]
    answers = await asyncio.gather(*(_ask(reader, writer, path, times) for reader, writer in streams))
    for _, writer in streams:
        writer.close()
    return sum(answers, Counter())


if __name__ == "__main__":
    _, count, requests, asked, *at = sys.argv
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(_burst(int(count), int(requests), asked, [int(port) for port in at]))))

"""A thousand simulated gateways, and what the control plane takes for them.

`python -m tests.control_plane.fleet --gateways 1000 --seconds 60 [--database URL]` prints its figures: the share of a
core, how probes are spread, and how long lists take. On an idle machine: what others take, lists wait for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
from websockets.asyncio.client import connect

from gateway.control_messages import CONNECT
from tests.support import free_port

HEARTBEAT_SECONDS = 15.0
HEALTH = json.dumps({"status": "ok", "digest": "0" * 64, "loaded_at": "x", "reloads": 0, "problems": []}).encode()


class Gateways:
    """All of them, behind one port: the first step of the path says which is asked."""

    def __init__(self) -> None:
        self.probes: defaultdict[str, list[float]] = defaultdict(list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests of one connection."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1].decode()
                if path.endswith("/health"):
                    self.probes[path.split("/")[1]].append(time.monotonic())
                    writer.write(
                        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                        % (len(HEALTH), HEALTH)
                    )
                else:
                    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        writer.close()


BODY = {"instanceId": "one", "version": "1", "requestRate": 10.0, "errorRate": 0.1, "p50Ms": 2.0, "p95Ms": 9.0}


async def beat(client: httpx2.AsyncClient, gateway: str, token: str, answers: list[bool]) -> None:
    """Send heartbeats of one gateway by requests, without end."""
    await asyncio.sleep(random.uniform(0, HEARTBEAT_SECONDS))
    while True:
        began = time.monotonic()
        path = f"/api/internal/v1/gateways/{gateway}/heartbeat"
        response = await client.post(path, json=BODY, headers={"api-key": token})
        answers.append(response.status_code == 200)
        await asyncio.sleep(HEARTBEAT_SECONDS - (time.monotonic() - began))


async def speak(url: str, token: str, answers: list[bool]) -> None:
    """The same over the channel, as gateways do unless something on the way lets no WebSocket through."""
    await asyncio.sleep(random.uniform(0, HEARTBEAT_SECONDS))
    async with connect(f"{url}{CONNECT}", additional_headers={"api-key": token}, open_timeout=60) as channel:
        await channel.recv()
        while True:
            await channel.send(json.dumps({"type": "heartbeat", **BODY}))
            answers.append("heartbeat.ack" in str(await channel.recv()))
            await asyncio.sleep(HEARTBEAT_SECONDS)


async def register(client: httpx2.AsyncClient, number: int, port: int) -> tuple[str, str]:
    """Register one; its id, and its token."""
    config = {"controlPlaneUrl": f"http://127.0.0.1:{port}/gateway-{number}", "kind": "flowmaster"}
    body = {"name": f"gateway-{number}", "displayName": f"Gateway {number}", "gatewayType": "INGRESS"}
    whole = {**body, "environmentIds": [], "adapterConfig": config}
    while (made := await client.post("/api/v1/gateways", json=whole)).status_code == 503:  # noqa: ASYNC110
        await asyncio.sleep(1)
    made.raise_for_status()
    uuid = made.json()["uuid"]
    token = await client.post(f"/api/v1/gateways/{uuid}/tokens", json={})
    token.raise_for_status()
    return uuid, token.json()["token"]


async def figures(arguments: argparse.Namespace) -> dict[str, Any]:
    """Start all, wait, and count."""
    directory, port = Path(tempfile.mkdtemp(prefix="fleet-")), free_port()
    (directory / "control-plane.yaml").write_text("networks: [loopback]\n")
    command = [sys.executable, "-m", "gateway.cli", "control-plane", "serve", "--config", str(directory)]
    database = ["--database", arguments.database, "--migrate"] if arguments.database else []
    process = await asyncio.create_subprocess_exec(
        *command, "--port", str(port), *database, stderr=(directory / "log").open("wb"), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    token = (directory / "state" / "control-plane-token").read_text().strip()
    gateways, answers = Gateways(), list[bool]()
    server = await asyncio.start_server(gateways.answer, "127.0.0.1", backlog=1000)
    own_port = server.sockets[0].getsockname()[1]
    url, limits = f"http://127.0.0.1:{port}", httpx2.Limits(max_connections=50)
    beats: list[asyncio.Task[None]] = []
    async with httpx2.AsyncClient(base_url=url, limits=limits, timeout=30) as client:
        client.headers["authorization"] = f"Bearer {token}"
        known: list[tuple[str, str]] = []
        for start in range(0, arguments.gateways, 10):
            numbers = range(start, min(start + 10, arguments.gateways))
            known += await asyncio.gather(*(register(client, number, own_port) for number in numbers))
        async with httpx2.AsyncClient(base_url=url, limits=limits, timeout=30) as of_gateways:
            for uuid, of_gateway in known:
                work = beat(of_gateways, uuid, of_gateway, answers)
                if not arguments.requests:
                    work.close()
                    work = speak(url.replace("http", "ws"), of_gateway, answers)
                beats.append(asyncio.create_task(work))
            await asyncio.sleep(35)  # until all are in their turn
            gateways.probes.clear()
            answers.clear()
            cpu, began, lists = cpu_seconds(process.pid), time.monotonic(), list[float]()
            while time.monotonic() - began < arguments.seconds:
                await asyncio.sleep(5)
                asked = time.monotonic()
                (await client.get("/api/v1/gateways", params={"limit": 100})).raise_for_status()
                lists.append(time.monotonic() - asked)
            lasted, used = time.monotonic() - began, cpu_seconds(process.pid) - cpu
            counted = (await client.get("/metrics")).text
            for task in beats:
                task.cancel()
            await asyncio.gather(*beats, return_exceptions=True)
    process.terminate()
    await process.wait()
    server.close()
    per_second = [0] * int(lasted)
    for times in gateways.probes.values():
        for at in times:
            per_second[min(int(at - began), len(per_second) - 1)] += 1
    gaps = [later - sooner for times in gateways.probes.values() for sooner, later in pairwise(times)]
    return {
        "gateways": len(known),
        "share of a core": round(used / lasted, 3),
        "heartbeats per second": round(len(answers) / lasted, 1),
        "heartbeats that failed": answers.count(False),
        "probes per second": (min(per_second), round(statistics.mean(per_second), 1), max(per_second)),
        "seconds between probes": (round(min(gaps), 1), round(statistics.median(gaps), 1), round(max(gaps), 1)),
        "gateways probed": len(gateways.probes),
        "list ms": (round(statistics.median(lists) * 1000, 1), round(max(lists) * 1000, 1)),
        "lag": next((line for line in counted.splitlines() if line.startswith("control_plane_job_lag")), ""),
    }


def cpu_seconds(pid: int) -> float:
    """What a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateways", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--database")
    parser.add_argument("--requests", action="store_true", help="heartbeats by requests, not over the channel")
    for name, value in asyncio.run(figures(parser.parse_args())).items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()

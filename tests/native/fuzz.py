"""Mutated heads, read with the native form and without it: the same verdict, and the same fields.

python -m tests.native.fuzz --heads 1000000 --seed 1
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any, Final

from gateway.config.models import ClientLimits
from gateway.errors import GatewayError
from gateway.http import Headers
from gateway.http.messages import RequestHead
from gateway.native import RequestCodec, ResponseCodec, joined_head, plain_request, plain_response, response_head
from gateway.server.http1.reader import RequestReader
from gateway.upstream.http1.codec import IDLE, BadResponse, ResponseReader
from tests.native import written
from tests.server.suites import desync, garden, probe
from tests.upstream.http1.test_codec import BAD, GOOD

LIMITS: Final = ClientLimits(head=2000, url=200, headers=20)
LONGEST: Final = 4000  # bytes of what is mutated: more takes time, and brings nothing new

PLAIN: Final = (
    b"GET /v1/orders?page=2 HTTP/1.1\r\nHost: a.example:9000\r\nUser-Agent: x/1.0\r\nAccept: */*\r\n\r\n",
    b"POST /v1/orders HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
    b"PUT /%20a HTTP/1.1\r\nhost:a\r\nconnection:keep-alive\r\ncookie: a=b\r\ncookie: c=d\r\nempty:\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    b"POST / HTTP/1.0\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc",
    b"POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"REPORT http://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"DELETE /? HTTP/1.1\r\nHost: a_b.c-d:\r\nConnection: Keep-Alive\r\n\r\n",
    b"PATCH /a?b=c?d HTTP/1.1\r\nhost: 127.0.0.1:80\r\ncontent-length: 03\r\n\r\nabc",
)
REQUESTS: Final = (
    *PLAIN,
    *desync.SEVERE.values(),
    *desync.AMBIGUOUS.values(),
    *(request for request, _ in desync.AMBIGUOUS_AND_PASSED.values()),
    *garden.REFUSED.values(),
    *(request for request, _ in garden.PASSED.values()),
    *(request for _, request in probe.REFUSED.values()),
    *(request for request, _ in probe.PASSED.values()),
    *(request for request, _ in probe.LEFT_OVER.values()),
    *(start + rest for start, rest in probe.UNFINISHED.values()),
)
PLAIN_RESPONSES: Final = (
    b"HTTP/1.1 200 OK\r\nServer: x\r\nType: a/b\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello",
    b"HTTP/1.1 404 \r\ncontent-length:0\r\nempty:\r\nset-cookie: a\r\n\r\n",
    b"HTTP/1.1 599 \xe9t\xe9\r\nContent-Length: 2\r\nKeep-Alive: timeout=5\r\n\r\nab",
)
RESPONSES: Final = tuple(response for response in (*GOOD, *BAD.values(), *PLAIN_RESPONSES) if len(response) <= LONGEST)
PARTS: Final = (
    b"\r\n",
    b"\r",
    b"\n",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b":",
    b": ",
    b"\x00",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"?",
    b"#",
    b"/",
    b"*",
    b"0",
    b"9",
    b"00",
    b"+1",
    b"-1",
    b",",
    b"chunked",
    b"close",
    b"Keep-Alive",
    b"upgrade",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"Host: b\r\n",
    b"Host: b:80\r\n",
    b"Host: [::1]:80\r\n",
    b"Host:\r\n",
    b"Host: b:123456\r\n",
    b"Host: b%20c\r\n",
    b"Host: b_c.-:\r\n",
    b"Host: " + b"b" * 256 + b"\r\n",
    b"Content-Length: 5\r\n",
    b"content-length:0\r\n",
    b"Content-Length:\t05 \t\r\n",
    b"Content-Length:\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"connection:\r\n",
    b"Connection: Keep-Alive, x\r\n",
    b"Connection: upgrade\r\n",
    b"Upgrade: h2c\r\n",
    b"Proxy-Connection: close\r\n",
    b"Proxy-Connection: keep-alive\r\n",
    b"Expect: 100-continue\r\n",
    b"Expect: 100-Continue\r\n",
    b"Expect:\r\n",
    b"Trailer: x\r\n",
    b"x:\r\n",
    b"x: \t\r\n",
    b"x: a\tb \r\n",
    b" folded\r\n",
    b"x" * 300,
    b"x: y\r\n" * 20,
)


def mutated(heads: Sequence[bytes], random: Random) -> bytes:
    """One of these heads with some changes; often behind another one, as on a connection that is kept."""
    data = bytearray(random.choice(heads)[:LONGEST])
    for _ in range(random.choice((0, 1, 1, 1, 2, 3, 6))):
        at = random.randrange(len(data) + 1)
        kind = random.randrange(7)
        if kind == 0 and at < len(data):
            data[at] = random.randrange(256)
        elif kind == 1:
            del data[at : at + random.choice((1, 1, 2, 8))]
        elif kind == 2:
            data[at:at] = random.choice(PARTS)
        elif kind == 3:
            _insert_line(data, random)
        elif kind == 4:
            other = random.choice(heads)
            data[at:] = other[random.randrange(len(other)) :]
        elif kind == 5 and at < len(data):
            data[at] ^= 0x20
        else:
            data[at:at] = data[at : at + random.randrange(40)]
    return bytes(data[: 2 * LONGEST])


def _insert_line(data: bytearray, random: Random) -> None:
    """Put something where a header line begins."""
    starts = [index + 2 for index in range(len(data) - 1) if data[index : index + 2] == b"\r\n"]
    if starts:
        at = random.choice(starts)
        data[at:at] = random.choice(PARTS)


def pieces(data: bytes, random: Random) -> list[bytes]:
    """Cut at up to two places; mostly at none."""
    cuts = sorted(random.sample(range(1, len(data)), k=min(random.choice((0, 0, 1, 2)), max(len(data) - 1, 0))))
    bounds = [0, *cuts, len(data)]
    return [data[start:end] for start, end in itertools.pairwise(bounds) if end > start]


class Sink:
    """Writes down what was read."""

    def __init__(self) -> None:
        self.seen: list[object] = []
        self.body = b""

    def on_head(self, head: RequestHead, length: int | None, keep_alive: bool, expects_continue: bool) -> None:
        target = (head.method, head.version, head.path, head.query, head.bare_query, head.websocket)
        self.seen.append((*target, list(head.headers), dict(head.fields), length, keep_alive, expects_continue))

    def on_body(self, data: bytes) -> None:
        assert data
        self.body += data

    def on_end(self, trailers: Headers) -> None:
        self.seen.append((self.body, list(trailers)))
        self.body = b""


def request_verdict(parts: Sequence[bytes], native: RequestCodec | None) -> tuple[object, ...]:
    """What became of a stream of requests. One that ends its connection is the last, as it is in the gateway."""
    sink = Sink()
    reader = RequestReader(sink, LIMITS, native)
    fault = ""
    try:
        for part in parts:
            rest = part
            while rest:
                rest = reader.read(rest)
    except GatewayError as error:
        fault = f"{error.kind.slug}: {error}"
        head = reader.refused_head()
        sink.seen.append((head.method, head.path, head.query, head.headers))
    between = reader.between_requests
    reader.close()
    return (sink.seen, sink.body, fault, between)


def response_verdict(
    parts: Sequence[bytes], native: ResponseCodec | None, method: str, upgrade: bool
) -> tuple[object, ...]:
    """What became of the responses to two requests on one connection."""
    reader = ResponseReader(native)
    seen: list[object] = []
    reader.begin(method, upgrade=upgrade)
    fault = ""
    for part in parts:
        try:
            if reader.phase is IDLE:
                reader.begin(method, upgrade=upgrade)
            reader.feed(memoryview(part))
        except BadResponse as error:
            fault = str(error)
            break
        hints = [list(lines) for lines in reader.early_hints]
        head = (reader.status, list(reader.headers), dict(reader.fields), list(reader.trailers), hints, reader.behind)
        state = (reader.phase, reader.reusable, reader.started, reader.continued, reader.until_eof, reader.buffered)
        seen.append((*head, *state))
        if reader.phase.value == "done":
            seen.append(reader.take())
            if reader.reusable:
                reader.phase = IDLE
    reader.forget()
    return (seen, fault)


def cases(count: int, seed: int) -> Iterator[tuple[list[bytes], str, bool]]:
    """So many heads: in pieces, with the method of the request that they answer; none where they are requests."""
    random = Random(seed)
    for number in range(count):
        if number % 2:
            parts = pieces(mutated(random.choice((RESPONSES, PLAIN_RESPONSES)), random), random)
            if random.random() < 0.3:  # the answer to another request before it
                parts = [random.choice(RESPONSES), *parts]
            yield parts, random.choice(("GET", "GET", "GET", "HEAD", "POST")), random.random() < 0.1
        else:
            data = mutated(random.choice((REQUESTS, PLAIN)), random)
            if random.random() < 0.3:
                data = random.choice(PLAIN) + data
            yield pieces(data, random), "", False


def differences(
    count: int, seed: int, requests: RequestCodec, responses: ResponseCodec
) -> Iterator[tuple[list[bytes], object, object]]:
    """The heads of which the two forms think differently, and what each of them thinks."""
    for parts, method, upgrade in cases(count, seed):
        if method:
            ours, theirs = (response_verdict(parts, form, method, upgrade) for form in (responses, None))
        else:
            ours, theirs = (request_verdict(parts, form) for form in (requests, None))
        if ours != theirs:
            yield parts, ours, theirs


class Counting:
    """A native form, and how often it did something, and left something to its reference."""

    def __init__(self, form: Callable[..., Any]) -> None:
        self._form = form
        self.answers: Counter[str] = Counter()

    def __call__(self, *arguments: Any) -> Any:
        """As that form."""
        answer = self._form(*arguments)
        self.answers["left" if answer is None else "done"] += 1
        return answer

    def __str__(self) -> str:
        return f"{self._form.__name__} did {self.answers['done']} and left {self.answers['left']}"


def main() -> int:
    """Compare as many as are asked for; 1 where one differs, with the head printed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heads", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if plain_request is None or plain_response is None or joined_head is None or response_head is None:
        print("the native form is not built: GATEWAY_COMPILE=1 make compiled", file=sys.stderr)
        return 2
    heads, seed, all_found = arguments.heads, arguments.seed, 0
    requests, responses = Counting(plain_request), Counting(plain_response)
    joined, framed = Counting(joined_head), Counting(response_head)
    for what, counted, compared in (
        ("read", (requests, responses), differences(heads, seed, requests, responses)),
        ("written", (joined, framed), written.differences(heads, seed, joined, framed)),
    ):
        started, found = time.monotonic(), 0
        for head, ours, theirs in itertools.islice(compared, 10):
            found += 1
            print(f"{head!r}\n  native: {ours!r}\n  reference: {theirs!r}")
        done = "; ".join(map(str, counted))
        print(f"{heads} heads {what}, seed {seed}: {found} differ; {done}; in {time.monotonic() - started:.0f} s")
        all_found += found
    return 1 if all_found else 0


if __name__ == "__main__":
    sys.exit(main())

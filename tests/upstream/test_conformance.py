"""What the Autobahn test suite tries, against an echo backend directly and through the gateway: equal answers."""

from __future__ import annotations

import asyncio

import pytest
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.speedups import apply_mask

from tests.upstream.conftest import Sites
from tests.upstream.test_websocket import Client, echo, websocket_backend

KEY = b"\x01\xfe\x80\x7f"
HANDSHAKE = (
    b"GET %b HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
BYE = b"\x03\xe8"
END = b"the end"
Answer = tuple[list[bytes], list[bytes], int | None]


def frame(first: int, payload: bytes = b"", *, masked: bool = True) -> bytes:
    size, flag = len(payload), 0x80 if masked else 0
    if size < 126:
        head = bytes([first, flag | size])
    elif size < 65536:
        head = bytes([first, flag | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, flag | 127]) + size.to_bytes(8, "big")
    return head + KEY + apply_mask(payload, KEY) if masked else head + payload


TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
SIZES = (0, 1, 125, 126, 127, 128, 65535, 65536, 70000)
CODES = (0, 999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 1015, 1016)
CASES: dict[str, list[bytes]] = {
    **{f"text of {size}": [frame(TEXT, b"*" * size)] for size in SIZES},
    **{f"binary of {size}": [frame(BINARY, b"\xfe" * size)] for size in SIZES},
    "ping": [frame(PING)],
    "ping with payload": [frame(PING, b"Hello")],
    "ping of 125": [frame(PING, b"\xfe" * 125)],
    "ping of 126": [frame(PING, b"\xfe" * 126)],
    "ten pings": [frame(PING, b"payload-%d" % number) for number in range(10)],
    "unsolicited pong": [frame(PONG, b"unsolicited"), frame(PING, b"and a ping")],
    **{f"reserved bits {bits}": [frame(TEXT | bits << 4, b"x"), frame(PING)] for bits in range(1, 8)},
    **{f"reserved opcode {code}": [frame(0x80 | code)] for code in (3, 4, 5, 6, 7)},
    **{f"reserved control opcode {code}": [frame(0x80 | code)] for code in range(11, 16)},
    "ping in fragments": [frame(0x09, b"a"), frame(0x80, b"b")],
    "pong in fragments": [frame(0x0A, b"a"), frame(0x80, b"b")],
    "two fragments": [frame(0x01, b"frag1"), frame(0x80, b"frag2")],
    "ping between fragments": [frame(0x01, b"frag1"), frame(PING, b"ping"), frame(0x80, b"frag2")],
    "empty fragments": [frame(0x01), frame(0x00), frame(0x80)],
    "continuation of nothing": [frame(0x80, b"x"), frame(TEXT, b"y")],
    "unfinished continuation of nothing": [frame(0x00, b"x"), frame(0x80, b"y")],
    "message within a message": [frame(0x01, b"frag1"), frame(TEXT, b"other")],
    "many fragments and pings": [
        *(frame(0x01, b"1"), frame(0x00, b"2"), frame(PING, b"a"), frame(0x00, b"3"), frame(PING, b"b")),
        frame(0x80, b"4"),
    ],
    "no mask": [frame(TEXT, b"x", masked=False)],
    "valid UTF-8": [frame(TEXT, "Hello-µ@ßöäüàá-UTF-8!!κόσμε🎉".encode())],
    "UTF-8 in two fragments": [frame(0x01, b"\xce"), frame(0x80, b"\xba")],
    "invalid UTF-8": [frame(TEXT, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80edited")],
    "invalid UTF-8 in fragments": [frame(0x01, b"\xce\xba\xf4"), frame(0x80, b"\x90\x80\x80edited")],
    "a surrogate": [frame(TEXT, b"\xed\xa0\x80")],
    "close": [frame(CLOSE, BYE)],
    "close without a code": [frame(CLOSE)],
    "close of one byte": [frame(CLOSE, b"\x03")],
    "close with a reason of 123": [frame(CLOSE, BYE + b"*" * 123)],
    "close with a reason of 124": [frame(CLOSE, BYE + b"*" * 124)],
    "close with invalid UTF-8": [frame(CLOSE, BYE + b"\xce\xba\xed\xa0\x80")],
    **{
        f"close with {code}": [frame(CLOSE, code.to_bytes(2, "big"))] for code in (*CODES, 1100, 2000, 2999, 3000, 3999)
    },
    **{f"close with {code}": [frame(CLOSE, code.to_bytes(2, "big"))] for code in (4000, 4999, 5000, 65535)},
    "text behind close": [frame(CLOSE, BYE), frame(TEXT, b"too late")],
    "ping behind close": [frame(CLOSE, BYE), frame(PING)],
    "close between fragments": [frame(0x01, b"frag1"), frame(CLOSE, BYE), frame(0x80, b"frag2")],
    "length in a long form": [b"\x82\xfe\x00\x05" + KEY + apply_mask(b"short", KEY)],
}


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, size = await reader.readexactly(2)
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    elif size == 127:
        size = int.from_bytes(await reader.readexactly(8), "big")
    return first, await reader.readexactly(size)


async def answer_of(port: int, target: str, frames: list[bytes], piece: int) -> Answer:
    """What comes back of these frames: messages, pongs, and the code of the close."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    messages: list[bytes] = []
    pongs: list[bytes] = []
    code = None
    data = b"".join(frames)
    if CLOSE not in {each[0] for each in frames}:
        data += frame(TEXT, END)
    try:
        async with asyncio.timeout(20):
            writer.write(HANDSHAKE % target.encode())
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            for start in range(0, len(data), piece):
                writer.write(data[start : start + piece])
                if piece < 100:
                    await asyncio.sleep(0)
            while code is None:
                first, payload = await read_frame(reader)
                if first == CLOSE:
                    code = int.from_bytes(payload[:2], "big")
                elif payload == END:
                    writer.write(frame(CLOSE, BYE))
                else:
                    (pongs if first == PONG else messages).append(payload)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()
    return messages, pongs, code


# An invalid length is the gateway's to refuse, which the backend lets pass.
STRICTER = {"length in a long form"}


@pytest.mark.parametrize("piece", [1, 2**20])
async def test_the_answers_are_those_of_the_backend(sites: Sites, piece: int) -> None:
    """The same messages, pongs and close codes, whatever is sent, in one piece or byte by byte."""
    async with websocket_backend(sites, echo, ping_interval=None, compression=None) as backend:
        own = int(backend.label.rpartition(":")[2])
        for name, frames in CASES.items():
            if piece == 1 and sum(map(len, frames)) > 1000:
                continue
            direct = await answer_of(own, "/", frames, piece)
            through = await answer_of(sites.gateway.port, f"{backend.path}/ws", frames, piece)
            if name in STRICTER:
                assert through == ([], [], 1002), name
            else:
                assert through == direct, name


@pytest.mark.parametrize(
    "factory",
    [
        ClientPerMessageDeflateFactory(),
        ClientPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True),
        ClientPerMessageDeflateFactory(server_max_window_bits=9, client_max_window_bits=9),
    ],
)
async def test_compressed_messages_of_all_sizes(sites: Sites, factory: ClientPerMessageDeflateFactory) -> None:
    """Whatever the two have agreed on."""
    async with websocket_backend(sites, echo) as backend:
        url = f"ws://127.0.0.1:{sites.gateway.port}{backend.path}/ws"
        async with Client(url, extensions=[factory], compression=None, max_size=None, proxy=None) as one:
            assert one.protocol.extensions
            for size in (0, 16, 64, 256, 1024, 4096, 16384, 131072):
                for message in ("héllo " * (size // 6), bytes(range(256)) * (size // 256)):
                    await one.send(message)
                    assert await one.recv() == message

"""An end of a tunnel that is a connection."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import sys
from typing import Final

from gateway.deadlines import NEVER
from gateway.errors import ErrorKind, GatewayError
from gateway.http.frames import PING, FrameReader, encode_frame
from gateway.turns import ClientTurns
from gateway.upstream.tunnel import HIGH_WATER, LOOKS, UNANSWERED, End, Tunnel

READ_BUFFER: Final = 64 * 1024  # bytes of the buffer that all connections read into
TCP_INFO: Final = socket.TCP_INFO if sys.platform == "linux" else -1  # others have other members in it
TCP_INFO_SIZE: Final = 148  # bytes of Linux's struct tcp_info, up to what is read here
ACKNOWLEDGED_AT: Final = 120  # in it: tcpi_bytes_acked, three other members, tcpi_notsent_bytes
ACKNOWLEDGED_AND_NOT_SENT: Final = struct.Struct("=Q16xI")


class Side(asyncio.BufferedProtocol):
    """An end that is a connection, after its last byte of HTTP. `early` is what had come before it was joined."""

    __slots__ = (
        "_asked_at",
        "_buffer",
        "_early",
        "_heard",
        "_heard_at",
        "_held",
        "_peer",
        "_reading",
        "_taken",
        "_transport",
        "_tunnel",
        "_turns",
        "_unsent",
        "_waits",
        "frames",
        "gone",
        "masks",
        "over",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        early: bytes,
        frames: FrameReader,
        buffer: memoryview,
        turns: ClientTurns,
        *,
        masks: bool,
    ) -> None:
        self.frames = frames
        self.masks = masks
        self.over = False
        self.gone = False
        self._transport = transport
        self._early = early
        self._buffer = buffer
        self._turns = turns
        self._tunnel: Tunnel | None = None
        self._peer: End | None = None
        self._reading = True
        self._held = False  # the other end takes nothing
        self._waits = False  # for its turn
        self._heard = False  # since it was last looked at
        self._heard_at = asyncio.get_running_loop().time()
        self._asked_at = NEVER  # when a ping was sent that has had no answer
        self._unsent = 0  # bytes for which there was no room at its end, when last looked at
        self._taken = 0  # bytes that its kernel had acknowledged by then

    def join(self, tunnel: Tunnel, peer: End) -> None:
        """Begin."""
        self._tunnel, self._peer = tunnel, peer
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        self._transport.set_protocol(self)
        self._wait_for_turn()  # which begins with what came early

    def part(self) -> None:
        """The tunnel is over: forget it."""
        self._tunnel = self._peer = None

    # What the event loop calls.

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._heard = True
        self._pass(bytes(self._buffer[:nbytes]))
        if nbytes == READ_BUFFER and not self._waits:
            self._wait_for_turn()  # or the loop would read on, as much as there is

    def _pass(self, data: bytes) -> None:
        frames, peer = self.frames, self._peer
        passed = frames.read(data)
        if passed and peer is not None:
            peer.send(passed)
        if frames.plain:
            return
        if frames.behind:
            self._wait_for_turn()
        elif (frames.closed or frames.violation is not None) and self._tunnel is not None:
            self._tunnel.stopped(self)

    def eof_received(self) -> None:
        """There is no half of a WebSocket: the loop closes the transport, once everything is sent."""
        if self._tunnel is not None:
            self._tunnel.limit()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = self.over = True
        if self._tunnel is not None:
            self._tunnel.lost(self)

    def pause_writing(self) -> None:
        if self._peer is not None:
            self._peer.hold()

    def resume_writing(self) -> None:
        if self._peer is not None:
            self._peer.let_go()

    # Reading.

    def hold(self) -> None:
        self._held = True
        self._read_or_not()

    def let_go(self) -> None:
        self._held = False
        if (self._early or self.frames.behind) and not self._waits:
            self._wait_for_turn()
        self._read_or_not()

    def _wait_for_turn(self) -> None:
        self._waits = True
        self._read_or_not()
        self._turns.join(self)

    def go_on(self) -> None:
        """Its turn."""
        self._waits = False
        if self.gone or self._held:
            return
        early, self._early = self._early, b""
        if early or self.frames.behind:
            self._pass(early)
        self._read_or_not()

    def _read_or_not(self) -> None:
        reading = not (self._held or self._waits)
        if reading != self._reading and not self.gone:
            self._reading = reading
            if reading:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    # Writing.

    def send(self, data: bytes) -> None:
        if not self.over:
            self._transport.write(data)

    def finish(self) -> None:
        if self.over:
            return
        self.over = True
        self.let_go()  # what it still sends is dropped
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def abort(self) -> None:
        self.over = True
        self._transport.abort()

    # Signs of life.

    def takes(self) -> bool:
        unsent, taken = self._unsent, self._taken
        self._unsent, self._taken = (0, taken) if self.gone else self._progress()
        return self._unsent < unsent or (unsent > 0 and self._taken > taken)

    def _progress(self) -> tuple[int, int]:
        """Bytes that have not been sent, those in the kernel included, which may be megabytes before a ping; and bytes
        that have been acknowledged."""
        unsent = self._transport.get_write_buffer_size()
        try:
            info = self._transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, TCP_INFO, TCP_INFO_SIZE)
            acknowledged, in_kernel = ACKNOWLEDGED_AND_NOT_SENT.unpack_from(info, ACKNOWLEDGED_AT)
        except (OSError, AttributeError, struct.error):  # no TCP, or another system
            return unsent, 0
        return unsent + in_kernel, acknowledged

    def looked_at(self, now: float, interval: float) -> float:
        if self._heard or self.takes():
            self._heard = False
            self._heard_at, self._asked_at = now, NEVER
        if self._asked_at == NEVER and now - self._heard_at >= interval and (self._ask() or self._unsent):
            self._asked_at = now
        if now - self._asked_at >= UNANSWERED * interval:
            return 0.0
        return now + interval / LOOKS

    def _ask(self) -> bool:
        """Send it a ping, where that is possible now, and fair."""
        peer = self._peer
        if not self._reading or self.over or peer is None or peer.frames.closed or not peer.frames.at_boundary:
            return False
        payload = os.urandom(8)
        self.frames.await_pong(payload)
        self.send(encode_frame(PING, payload, masked=self.masks))
        return True

    # The server, at its end.

    def abandon(self) -> None:
        """The time is up: reset it, so that nothing that is cut short can pass for whole."""
        sock = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError, AttributeError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if self._tunnel is not None:
            self._tunnel.abort(GatewayError(ErrorKind.CLIENT_GONE, "its connection was cut off"))

"""Two connections of a WebSocket, joined: what comes on one goes out on the other, frame headers being looked at.

An end of a tunnel is a connection (`Side`), or an application that speaks ASGI messages (`messages.MessageEnd`). While
one takes nothing, the other is not read: what waits for an end is at most HIGH_WATER and one read.

An end that has sent nothing for `ping_interval` is sent a ping. Any byte counts as an answer; the pong itself is not
passed on. Where none comes in twice that time, the end is given up. Silence does not count while the gateway
itself does not read, unless nothing is taken either of what waits to be sent.

How a tunnel ends:

- a close frame passed in each direction, and an end closed: the other is closed, once it has everything;
- an end closed without one: the other is sent 1001 or 1011, at a frame's boundary, and closed;
- the rules of RFC 6455 are broken, or `max_message`: 1002, 1007 or 1009 to both;
- `close`, at drain or at a deadline: its code to both, each at the next boundary.

An end that then neither closes nor takes anything for CLOSE_SECONDS is cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from typing import Final, Protocol

from gateway.deadlines import NEVER, Deadlines
from gateway.errors import ErrorKind, GatewayError
from gateway.http.frames import FAILED, GOING_AWAY, PING, FrameReader, close_frame, encode_frame
from gateway.turns import ClientTurns

CLOSE_SECONDS: Final = 3.0
CLOSE_LIMIT: Final = 30.0  # seconds, however slowly what is left is taken
HIGH_WATER: Final = 32 * 1024  # bytes that an end has not taken, above which the other one is not read
READ_BUFFER: Final = 64 * 1024  # bytes of the buffer that all connections read into
LOOKS: Final = 4  # at each end, in an interval
UNANSWERED: Final = 2  # intervals that a ping may remain without an answer


class End(Protocol):
    """One end of a tunnel."""

    frames: FrameReader  # what comes from it
    masks: bool  # whether what is sent to it is masked: it is a server
    over: bool  # nothing more is sent to it
    gone: bool  # it is closed

    def send(self, data: bytes) -> None:
        """Send it bytes: whole frames, or pieces of one, in their order."""
        ...

    def hold(self) -> None:
        """Read nothing of it, until `let_go`."""
        ...

    def let_go(self) -> None:
        """Read on."""
        ...

    def finish(self) -> None:
        """Nothing more is sent to it: let it have the rest, then close it."""
        ...

    def abort(self) -> None:
        """Close it at once."""
        ...

    def looked_at(self, now: float, interval: float) -> float:
        """Ask it for a sign of life if it has been silent. Returns when to look again; 0 where it is dead."""
        ...

    def takes(self) -> bool:
        """Whether it has taken something since this was last asked."""
        ...

    def join(self, tunnel: Tunnel, peer: End) -> None:
        """Begin."""
        ...

    def part(self) -> None:
        """The tunnel is over: forget it."""
        ...


class Tunnel:
    """A client and an upstream, from the handshake on."""

    __slots__ = (
        "_cut_at",
        "_deadlines",
        "_ending",
        "_interval",
        "_upstream",
        "client",
        "deadline",
        "ended",
        "ends_at",
        "failure",
    )

    def __init__(self, deadlines: Deadlines, ping_interval: float, ends_at: float = NEVER) -> None:
        self._deadlines = deadlines
        self._interval = ping_interval
        self.client: End
        self._upstream: End
        self._ending = False  # the gateway has ended it, or is about to
        self._cut_at = NEVER  # loop time; set once nothing is left but to close
        self.ends_at = ends_at  # loop time; the deadline of the exchange
        self.deadline = NEVER
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.failure: GatewayError | None = None  # why it ended, where one end failed

    def begin(self, client: End, upstream: End) -> None:
        """Join two ends."""
        self.client, self._upstream = client, upstream
        now = asyncio.get_running_loop().time()
        self.deadline = min(now + self._interval / LOOKS, self.ends_at)
        self._deadlines.watch(self)
        client.join(self, upstream)
        upstream.join(self, client)

    @property
    def passed(self) -> tuple[int, int]:
        """Bytes of messages that have passed: (from the client, from the upstream)."""
        return self.client.frames.passed, self._upstream.frames.passed

    def close(self, code: int) -> None:
        """Send both ends a close frame, each as soon as a frame that is under way to it is complete."""
        if self.ended.done():
            return
        self._ending = True
        self._say_close(self.client, self._upstream, code)
        self._say_close(self._upstream, self.client, code)
        self._go_on_closing()

    def _say_close(self, end: End, other: End, code: int) -> None:
        """The close frame to one end, behind what the other has sent."""
        frame = other.frames.end_with(close_frame(code, masked=end.masks))
        if frame:
            end.send(frame)

    def _go_on_closing(self) -> None:
        """Finish what has been sent its close frame, and has answered it; set the clock once both have been sent it."""
        client, upstream = self.client, self._upstream
        if upstream.frames.closed and client.frames.answered and (self._ending or upstream.gone):
            client.finish()
        if client.frames.closed and upstream.frames.answered and (self._ending or client.gone):
            upstream.finish()
        if client.frames.closed and upstream.frames.closed:
            self.limit()

    def abort(self) -> None:
        """Cut off both ends."""
        if not self.ended.done():
            self.client.abort()
            self._upstream.abort()

    # What the ends report.

    def stopped(self, end: End) -> None:
        """Nothing more passes from this end: it, or the gateway for it, has sent a close frame; or what it sent may
        not pass."""
        violation = end.frames.violation
        if violation is None or self._ending:
            self._go_on_closing()
            return
        if end is self.client:
            self.failure = GatewayError(ErrorKind.BAD_REQUEST, f"the client sent {violation.reason}")
        else:
            self.failure = GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, f"the upstream sent {violation.reason}")
        self.close(violation.code)
        self.limit()

    def lost(self, end: End) -> None:
        """This end has closed."""
        upstream = self._upstream
        other = upstream if end is self.client else self.client
        if other.gone:
            self._end()
            return
        other.let_go()
        if not end.frames.closed:
            if end is upstream and self.failure is None:
                self.failure = GatewayError(ErrorKind.UPSTREAM_RESET, "the upstream went away without a close frame")
            self._say_close(other, end, FAILED if end is upstream else GOING_AWAY)
        self._go_on_closing()
        if not end.frames.closed:  # in the middle of a frame
            other.finish()
        self.limit()

    def _end(self) -> None:
        if not self.ended.done():
            self._deadlines.forget(self)
            self.client.part()
            self._upstream.part()
            self.ended.set_result(None)

    # The clock.

    def limit(self) -> None:
        """Nothing is left but to close."""
        if self._cut_at == NEVER:
            now = asyncio.get_running_loop().time()
            self.deadline = now + CLOSE_SECONDS
            self._cut_at = now + CLOSE_LIMIT

    def expired(self, now: float) -> None:
        """A clock ran out."""
        if self._cut_at < NEVER:
            taken = self.client.takes() or self._upstream.takes()
            self.deadline = now + CLOSE_SECONDS
            if now >= self._cut_at or not taken:
                self.abort()
            return
        if now >= self.ends_at:
            self.ends_at = NEVER
            self.close(GOING_AWAY)
            return
        deadline = self.ends_at
        for end in (self.client, self._upstream):
            if not end.gone:
                look_again = end.looked_at(now, self._interval)
                if not look_again:
                    end.abort()
                    look_again = NEVER
                deadline = min(deadline, look_again)
        self.deadline = deadline


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
        self._unsent = 0  # bytes that it had not taken, when last looked at

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
        before, self._unsent = self._unsent, 0 if self.gone else self._transport.get_write_buffer_size()
        return self._unsent < before

    def looked_at(self, now: float, interval: float) -> float:
        if self.takes() or self._heard:
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
            self._tunnel.abort()

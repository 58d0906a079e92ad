"""Two connections of a WebSocket, joined: what comes on one goes out on the other, frame headers being looked at.

An end of a tunnel is a connection (`tunnel_side.Side`), or an application that speaks ASGI messages
(`messages.MessageEnd`). While one takes nothing, the other is not read: what waits for an end is at most HIGH_WATER and
one read.

An end that has sent nothing for `ping_interval` is sent a ping. Any byte counts as an answer; the pong itself is not
passed on. Where none comes in twice that time, the end is given up: three times `ping_interval` in all. Silence does
not count while the gateway itself does not read, unless nothing is taken either of what waits to be sent; nor while
something is taken of that, be it in the kernel, where a ping may have megabytes before it.

How a tunnel ends:

- a close frame passed in each direction, and an end closed: the other is closed, once it has everything;
- an end closed without one: the other is sent 1001 or 1011, at a frame's boundary, and closed;
- an end given up: 1001 or 1011 to both, as if it were closed;
- the rules of RFC 6455 are broken, or `max_message`: 1002, 1007 or 1009 to both;
- `close`, at drain or at a deadline: its code to both, each at the next boundary, for which it has CLOSE_LIMIT.

An end that then neither closes nor takes anything for CLOSE_SECONDS is cut off, and an upstream that sends more than
CLOSE_BYTES where there is no client to send them to.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from gateway.deadlines import NEVER, Deadlines
from gateway.errors import ErrorKind, GatewayError
from gateway.http.frames import FAILED, GOING_AWAY, FrameReader, close_frame

CLOSE_SECONDS: Final = 3.0
CLOSE_LIMIT: Final = 30.0  # seconds, however slowly what is left is taken, or a frame goes on
CLOSE_BYTES: Final = 16 * 1024 * 1024  # that are read of an upstream for its close frame, once there is no client
HIGH_WATER: Final = 32 * 1024  # bytes that an end has not taken, above which the other one is not read
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
        """End of sending: flush the rest, then close."""
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
        self.ends_at = ends_at  # loop time; the deadline of the exchange, and then that of frames under way
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

    def close(self, code: int, said: str = "") -> None:
        """Send both ends a close frame, each as soon as a frame that is under way to it is complete. `said`: why, to
        the client."""
        if self.ended.done():
            return
        self._ending = True
        self.ends_at = asyncio.get_running_loop().time() + CLOSE_LIMIT
        self.deadline = min(self.deadline, self.ends_at)
        self._say_close(self.client, self._upstream, code, said)
        self._say_close(self._upstream, self.client, code)
        self._go_on_closing()

    def _say_close(self, end: End, other: End, code: int, said: str = "") -> None:
        """The close frame to one end, behind what the other has sent."""
        frame = other.frames.end_with(close_frame(code, masked=end.masks, said=said))
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

    def abort(self, failure: GatewayError | None = None) -> None:
        """Cut off both ends. `failure`: why, where nothing else is to blame."""
        if not self.ended.done():
            self.failure = self.failure or failure
            self.client.abort()
            self._upstream.abort()

    # What the ends report.

    def stopped(self, end: End) -> None:
        """Nothing more passes from this end: it, or the gateway for it, has sent a close frame; or what it sent may
        not pass."""
        if end is self._upstream and self.client.over and end.frames.dropped > CLOSE_BYTES:
            end.abort()
            return
        violation = end.frames.violation
        if violation is None or self._ending:
            self._go_on_closing()
            return
        if end is self.client:
            self.failure = GatewayError(ErrorKind.BAD_REQUEST, f"the client sent {violation.reason}")
        else:
            self.failure = GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, f"the upstream sent {violation.reason}")
        self.close(violation.code, violation.said)
        self.limit()

    def lost(self, end: End) -> None:
        """This end has closed."""
        upstream = self._upstream
        other = upstream if end is self.client else self.client
        if other.gone:
            if not self.ended.done():
                self._deadlines.forget(self)
                self.client.part()
                self._upstream.part()
                self.ended.set_result(None)
            return
        other.frames.stop()
        other.let_go()
        if not end.frames.closed:
            if end is upstream and self.failure is None:
                self.failure = GatewayError(ErrorKind.UPSTREAM_RESET, "the upstream went away without a close frame")
            self._say_close(other, end, FAILED if end is upstream else GOING_AWAY)
        self._go_on_closing()
        if not end.frames.closed:  # in the middle of a frame
            other.finish()
        self.limit()

    # The clock.

    def limit(self) -> None:
        """Close it at once."""
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
            if self._ending:
                self.abort()
            else:
                self.close(GOING_AWAY)
            return
        deadline = self.ends_at
        for end in (self.client, self._upstream):
            if not end.gone:
                look_again = end.looked_at(now, self._interval)
                if not look_again:
                    self._give_up(end)
                    return
                deadline = min(deadline, look_again)
        self.deadline = deadline

    def _give_up(self, end: End) -> None:
        """Nothing comes from this end any more. It may still read: it is told, as the other one is."""
        upstream = self._upstream
        if end is upstream:
            other, code, kind, name = self.client, FAILED, ErrorKind.UPSTREAM_TIMEOUT, "upstream"
        else:
            other, code, kind, name = upstream, GOING_AWAY, ErrorKind.CLIENT_GONE, "client"
        seconds = (1 + UNANSWERED) * self._interval
        silent = f"nothing came from the {name} for {seconds:g} s, not even the answer to a ping"
        self.failure = GatewayError(kind, f"{silent} (websocket.ping_interval)")
        self.close(code)
        if not end.frames.closed:  # in the middle of a frame
            other.finish()
        end.finish()
        end.frames.stop()
        other.frames.stop()
        other.let_go()
        self.limit()

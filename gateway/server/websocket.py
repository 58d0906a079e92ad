"""uvicorn's WebSocket protocol class, with three of its gaps closed."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """One WebSocket connection, from its handshake on."""

    CLOSE_SECONDS = 10.0

    async def send(self, message: Any) -> None:
        """An ASGI message for the client."""
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True  # or a refused handshake would be logged as one that nobody answered
            self._end_for_sure()

    def send_receive_event_to_app(self) -> None:
        """A message is complete. Text that is no UTF-8 ends the connection; what clients send fills no logs."""
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.conn.send_close(1007)
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def keepalive_timeout(self) -> None:
        """A ping was not answered in time."""
        super().keepalive_timeout()
        self._end_for_sure()

    def _end_for_sure(self) -> None:
        """A close waits until everything is written, which is for ever with a client that does not read."""
        self.loop.call_later(self.CLOSE_SECONDS, self.transport.abort)

"""A form on its way to a provider: read only as far as its model is to be known, and streamed from there on."""

from __future__ import annotations

from typing import Final

from gateway.errors import ErrorKind
from gateway.http import Exchange, Headers, WholeBody
from gateway.http.bodies import Body
from gateway.limits.held_bodies import HeldBodies
from gateway.llm.apis import Call
from gateway.llm.form import FormReader, boundary_of
from gateway.llm.request import BadBody, ModelRequest
from gateway.llm.speaking import ModelError, bad_body

MOST_HELD: Final = 256 * 1024  # bytes of a file that is uploaded
NO_FORM: Final = "a file is uploaded as a form (multipart/form-data)"


class Upload:
    """The read part of a form, and its rest. `size` is that of the whole form; None if it is not known."""

    def __init__(self, held: bytes, rest: Body | None, size: int | None, reader: FormReader) -> None:
        self._held = held
        self._rest = rest  # None: all of it is held
        self._size = size
        self._reader = reader

    @property
    def held(self) -> int:
        """Bytes that are held."""
        return len(self._held)

    @property
    def is_whole(self) -> bool:
        """Whether it can be sent any number of times."""
        return self._rest is None

    def for_model(self, model: str) -> tuple[Body, int | None]:
        """The form with this model, and its size; None where it is not known."""
        held = self._held
        for name, text, span in self._reader.fields:
            if name == "model" and text != model:
                held = held[: span.start] + model.encode() + held[span.end :]
        size = self._size + len(held) - len(self._held) if self._size is not None else None
        if self._rest is None:
            return WholeBody(held, []), len(held)
        return Following(held, self._rest, self._reader), size


class Following:
    """Bytes, and a body behind them, read as it passes: no form with a second model in it goes on whole. A Body."""

    __slots__ = ("_held", "_reader", "_rest")

    def __init__(self, held: bytes, rest: Body, reader: FormReader) -> None:
        self._held = held
        self._rest = rest
        self._reader = reader

    @property
    def trailers(self) -> Headers:
        return self._rest.trailers

    @property
    def ready(self) -> bool:
        return bool(self._held) or self._rest.ready

    async def read(self) -> bytes:
        held, self._held = self._held, b""
        if held:
            return held
        piece = await self._rest.read()
        try:
            self._reader.feed(piece)
        except BadBody as error:
            raise bad_body(error) from None
        return piece

    def close(self) -> None:
        self._held = b""
        self._rest.close()


async def read_file(exchange: Exchange, call: Call, bodies: HeldBodies) -> tuple[ModelRequest, Upload]:
    """Read what can be held of a file that is uploaded, so that a small one can be sent again. Raises GatewayError."""
    held: list[bytes] = []
    size = 0
    try:
        boundary, body = boundary_of(exchange.fields.get(b"content-type", b"")), exchange.body
        if boundary is None or body is None:
            raise BadBody(NO_FORM)
        reader = FormReader(boundary, names=())
        while size < MOST_HELD:
            piece = await body.read()
            reader.feed(piece)
            if not piece and not held:
                raise BadBody(NO_FORM)
            if not piece:
                return reader.request(call), Upload(b"".join(held), None, size, reader)
            bodies.take(len(piece))
            size += len(piece)
            held.append(piece)
        announced = exchange.fields.get(b"content-length", b"")
        whole = int(announced) if announced.isdigit() else None
        return reader.request(call), Upload(b"".join(held), body, whole, reader)
    except BadBody as error:
        raise bad_body(error) from None
    finally:
        bodies.room.give_back(size)


async def read_form(exchange: Exchange, call: Call, most: int, bodies: HeldBodies) -> tuple[ModelRequest, Upload]:
    """Read on until the model is known: SDKs that write the file before it have all of it read, up to `most` bytes.

    Raises GatewayError.
    """
    held: list[bytes] = []
    size = 0
    try:
        boundary, body = boundary_of(exchange.fields.get(b"content-type", b"")), exchange.body
        if boundary is None or body is None:
            raise BadBody("the form has no boundary in its Content-Type")
        reader = FormReader(boundary)
        while reader.text("model") is None:
            piece = await body.read()
            if not piece:
                return reader.request(call), Upload(b"".join(held), None, size, reader)
            if size + len(piece) > most:
                detail = f"the form has no `model` in its first {most} bytes; write it before the file"
                raise ModelError(ErrorKind.BODY_TOO_LARGE, detail, "request_too_large")
            bodies.take(len(piece))
            size += len(piece)
            reader.feed(piece)
            held.append(piece)
        announced = exchange.fields.get(b"content-length", b"")
        whole = int(announced) if announced.isdigit() else None
        return reader.request(call), Upload(b"".join(held), None if whole == size else body, whole, reader)
    except BadBody as error:
        raise bad_body(error) from None
    finally:
        bodies.room.give_back(size)

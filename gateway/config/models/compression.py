"""middleware.yaml: compression of responses."""

from typing import Literal

from pydantic import Field

from gateway.config.models.content_types import MediaRange
from gateway.config.models.policy import ForRoutes
from gateway.config.values.kinds import Several, SomeOf
from gateway.config.values.quantities import Size

Encoding = Literal["zstd", "br", "gzip"]


class Compression(ForRoutes):
    """Compression of responses, for clients that accept it. Left alone are: what is compressed already, event streams,
    parts (206), what says `Cache-Control: no-transform`, and what carries a digest of itself. A response is passed on
    piece by piece, as it comes. A strong `ETag` becomes weak, also in the 304, the 206 and the answer to HEAD that
    stand for a compressed response; that to HEAD has no `Content-Length`. Ranges are for clients that accept no coding.
    Not for routes whose responses hold both a secret and what a stranger may choose: the length of what is compressed
    together reveals its content (BREACH)."""

    encodings: Several[Encoding] = Field(
        (), description="`zstd`, `br`, `gzip`: the codings, in order of preference. None: nothing is compressed."
    )
    min_size: Size = Field(1024, description="Smaller responses are sent as they are, where their size is known.")
    types: SomeOf[MediaRange] = Field(
        (
            "text/*",
            "application/json",
            "application/*+json",
            "application/xml",
            "application/*+xml",
            "application/javascript",
            "application/x-ndjson",
            "application/wasm",
            "image/svg+xml",
            "image/bmp",
            "font/ttf",
            "font/otf",
        ),
        description="Content types that are compressed.",
    )

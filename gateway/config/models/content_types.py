"""middleware.yaml: content types that request bodies may have."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from gateway.config.models.policy import Policy
from gateway.config.values.kinds import Kind, SomeOf, Text, refuse

_MEDIA_RANGE: Final = r"""([\w!#$&^.+-]+|\*)/([\w!#$&^.+*-]+)(\s*;\s*[\w!#$&^.+-]+=([\w!#$&^.+-]+|"[^"\\]*"))*"""


def _check_media_range(text: str) -> str:
    match = re.fullmatch(_MEDIA_RANGE, text, re.ASCII)
    if match is None or (match[1] == "*" and match[2] != "*") or match[2].count("*") > 1:
        raise refuse("a content type is written type/subtype; with *, it is type/*, type/*+suffix or */*")
    return text


MediaRange = Annotated[
    Text, Kind("content type, or a pattern of them", "^[^/ ]+/[^/ ]+"), AfterValidator(_check_media_range)
]


class ContentTypes(Policy):
    """Content types that request bodies may have; all others are a 415, as is a body without one. Requests without a
    body are not looked at. Where several lists are for one route, each of them must have the type."""

    allow: SomeOf[MediaRange] = Field(
        description="Types such as `application/json`, `image/*`, `application/*+json` or `*/*`. A parameter, as in "
        "`text/plain; charset=utf-8`, must be there, too; without one, all parameters are fine.",
        examples=[["application/json"]],
    )

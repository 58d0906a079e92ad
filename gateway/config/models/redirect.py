"""routes.yaml: a route that answers with another address instead of forwarding."""

import re
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from gateway.config.models.base import Late, Model
from gateway.config.values import addresses
from gateway.config.values.kinds import Kind, Text, accepted_by, refuse, shorthand

_LOCATION: Final = r"(?:(https?)://([^/?#]+))?(/.*)"
_UNSENDABLE: Final = r"//|/\.\.?(/|$)"


def split_location(text: str) -> tuple[str, str]:
    """Scheme and host (empty: those of the request), and the path, of where a redirect leads."""
    match = re.fullmatch(_LOCATION, text, re.IGNORECASE)
    if match is None:
        raise refuse("a redirect leads to a path that begins with /, or to https://host/path; the host is written out")
    scheme, authority, path = match.groups()
    if "?" in path or "#" in path or "*" in path:
        raise refuse("a redirect is a path without ?, # and *; the query is kept, and $1 is what the first * matched")
    if re.search(_UNSENDABLE, path):
        raise refuse("the path has dot segments or repeated slashes; write it without them")
    return (f"{scheme.lower()}://{_authority(authority)}" if authority else ""), path


def _authority(text: str) -> str:
    """Only what is written here, so that no request can choose where it is sent to."""
    if re.search(r":[0-9]+$", text):
        addresses.parse_address(text)
        host, _, port = text.rpartition(":")
        return f"{addresses.parse_host_name(host)}:{int(port)}"
    return addresses.parse_host_name(text)


Location = Annotated[Text, Kind("path or URL", "^(https?://[^/]+)?/"), accepted_by(split_location)]


class RedirectConfig(Model):
    """The other address that requests are sent to. A bare text is the same as `to`."""

    to: Location = Field(
        description="A path, or `https://host/path`; `$1`, `$2` and `{name}` in the path are what `path` matched.",
        examples=["/v2/$1"],
    )
    status: Literal[301, 302, 307, 308] = Field(
        307,
        description="307 and 308 keep the method and the body; browsers make a GET of others at 301 and 302. "
        "browsers cache 301 and 308 permanently.",
    )
    keep_query: bool = Field(True, description="Append the query of the request.")


RedirectOfRoute = Annotated[
    Late[RedirectConfig],
    Kind("path or URL, or keys below"),
    BeforeValidator(shorthand("to"), json_schema_input_type=Location | Late[RedirectConfig]),
]

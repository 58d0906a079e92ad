"""Which form of the page a scraper wants (RFC 9110, 12.5.1), of those that Prometheus asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Form = Literal["text", "openmetrics", "protobuf"]

PROTOBUF: Final = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
MOST_RANGES: Final = 30  # of one header that are read


@dataclass(frozen=True, slots=True)
class MediaType:
    """A form, and how it is named in the answer."""

    form: Form
    name: str


TEXT: Final = MediaType("text", "text/plain; version=0.0.4; charset=utf-8")


def negotiated(accept: str) -> MediaType:
    """The preferred format of an `Accept`, the first of equal ones; text if it names none of them."""
    best, weight = TEXT, 0.0
    for media_range in accept.split(",")[:MOST_RANGES]:
        name, *rest = (part.strip() for part in media_range.split(";"))
        pairs = (part.partition("=") for part in rest)
        parameters = {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}
        offered, asked = _offered(name.lower(), parameters), _weight(parameters.get("q", "1"))
        if offered is not None and asked > weight:
            best, weight = offered, asked
    return best


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0


def _offered(name: str, parameters: dict[str, str]) -> MediaType | None:
    version = parameters.get("version")
    match name:
        case "text/plain" if version in (None, "0.0.4"):
            return TEXT
        case "text/*" | "*/*":
            return TEXT
        case "application/openmetrics-text" if version in (None, "0.0.1", "1.0.0"):
            shown = version or "1.0.0"
            return MediaType("openmetrics", f"application/openmetrics-text; version={shown}; charset=utf-8")
        case "application/vnd.google.protobuf":
            wanted = parameters.get("proto") == "io.prometheus.client.MetricFamily"
            return MediaType("protobuf", PROTOBUF) if wanted and parameters.get("encoding") == "delimited" else None
    return None

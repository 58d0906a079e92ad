"""The bounds of a profile on a request: the length of the answer, and the temperature."""

from __future__ import annotations

import math

from gateway.errors import ErrorKind
from gateway.llm.choosing import UNBOUNDED, Profile
from gateway.llm.request import CONFIGS, ModelRequest
from gateway.llm.speaking import ModelError
from gateway.llm.usage import members


def allowed_output(request: ModelRequest, profile: Profile) -> int | None:
    """The limit of the output: what is asked for, as far as the profile lets it."""
    asked, most = request.output_limit, profile.most_output
    if asked == 0 and request.api.name == "openai.completions":
        asked = 1  # some servers take 0 for no limit; there it may mean that only the prompt is to be rated
    return asked if most is None or (asked is not None and asked <= most) else most


def check_temperature(request: ModelRequest, bounds: tuple[float | None, float | None]) -> None:
    """Have the temperature be within the least and the most, wherever it stands. Raises ModelError."""
    if bounds == UNBOUNDED:
        return
    least, most = -math.inf if bounds[0] is None else bounds[0], math.inf if bounds[1] is None else bounds[1]
    document = request.document
    for place in (document, *(members(document.get(name)) for name in CONFIGS)):
        value = place.get("temperature")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (is_number and least <= value <= most):
            said = f"at least {least:g}" if most == math.inf else f"at most {most:g}"
            if math.isfinite(least) and math.isfinite(most):
                said = f"between {least:g} and {most:g}"
            detail = f"`temperature` must be a number, {said} here"
            raise ModelError(ErrorKind.BAD_REQUEST, detail, "temperature_out_of_bounds", param="temperature")

"""The bounds of a profile on a request: the length of the answer, and the temperature."""

from __future__ import annotations

from gateway.errors import ErrorKind
from gateway.llm.choosing import Profile
from gateway.llm.request import ModelRequest
from gateway.llm.speaking import ModelError
from gateway.llm.usage import members


def allowed_output(request: ModelRequest, profile: Profile) -> int | None:
    """The limit of the output: what is asked for, as far as the profile lets it."""
    asked, most = request.output_limit, profile.most_output
    if asked == 0 and request.api.name == "openai.completions":
        asked = 1  # some servers take 0 for no limit; there it may mean that only the prompt is to be rated
    return asked if most is None or (asked is not None and asked <= most) else most


def check_temperature(request: ModelRequest, bounds: tuple[float | None, float | None]) -> None:
    """Have the temperature be within the least and the most. Raises ModelError."""
    least, most = bounds
    config = members(request.document.get("generationConfig", request.document.get("generation_config")))
    value = request.document.get("temperature", config.get("temperature"))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if (least is not None and value < least) or (most is not None and value > most):
        said = f"at least {least:g}" if most is None else f"at most {most:g}"
        if least is not None and most is not None:
            said = f"between {least:g} and {most:g}"
        detail = f"`temperature` must be {said} here"
        raise ModelError(ErrorKind.BAD_REQUEST, detail, "temperature_out_of_bounds", param="temperature")

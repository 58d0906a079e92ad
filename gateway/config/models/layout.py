"""Which keys there are, and where: what the documentation lists, and what an unknown key is compared with."""

from collections.abc import Iterator
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from gateway.config.models import FILES, Model, RouteConfig, model_of
from gateway.config.models.base import keys_of
from gateway.config.problems import Path

Level = tuple[str, ...]
"""Where a model stands in its file; "[]" is any entry of a list, and "<name>" any key of a mapping."""


_HANDING_DOWN = (("defaults",), ("groups",))


@cache
def levels(file: str, top: type[Model] | None = None) -> dict[Level, type[Model]]:
    """The models of a file by their level, in the order of the file's keys, the file itself first. `top` is that of a
    file which is none of a gateway's."""
    return dict(_levels(top or model_of(file), ()))


def levels_without_repeats(file: str) -> dict[Level, type[Model]]:
    """The same without what stands in groups and defaults as it stands in routes."""
    every = levels(file)
    elsewhere = {model for level, model in every.items() if level[:1] not in _HANDING_DOWN}
    return {level: model for level, model in every.items() if level[:1] not in _HANDING_DOWN or model not in elsewhere}


def _levels(annotation: Any, level: Level) -> Iterator[tuple[Level, type[Model]]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield level, annotation
        for name, field in keys_of(annotation).items():
            yield from _levels(field.annotation, (*level, name))
        return
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _levels(arguments[0], level)
    elif origin in (Union, UnionType):
        for argument in arguments:
            yield from _levels(argument, level)
    elif origin is tuple:
        yield from _levels(arguments[0], (*level, "[]"))
    elif origin is dict:
        yield from _levels(arguments[1], (*level, "<name>"))


def model_at(file: str, path: Path, top: type[Model] | None = None) -> type[Model] | None:
    """The model that describes what `path` leads to, if it is one."""
    return next((model for level, model in levels(file, top).items() if _fits(level, path)), None)


def _fits(level: Level, path: Path) -> bool:
    return len(level) == len(path) and all(
        step == name or (name == "[]" and isinstance(step, int)) or name == "<name>"
        for name, step in zip(level, path, strict=True)
    )


def places_of(key: str) -> list[tuple[str, str]]:
    """Every file and level, such as `services.<name>.weight`, where a key of this name is known."""
    return [
        (file, format_level((*level, key)))
        for file in FILES
        for level, model in levels_without_repeats(file).items()
        if key in keys_of(model) and (level[:1] not in _HANDING_DOWN or key not in RouteConfig.model_fields)
    ]


def format_level(level: Level) -> str:
    """A level as people read it: `services.<name>.endpoints[]`."""
    return ".".join(level).replace(".[]", "[]")

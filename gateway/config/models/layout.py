"""Which keys there are, and where: what the documentation lists, and what an unknown key is compared with."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

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


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """Where a key of some name is known: `level` ends with it."""

    file: str
    level: Level

    def __str__(self) -> str:
        return f"in {self.file}, as {format_level(self.level)}"

    def near(self, file: str, path: Path) -> bool:
        """Whether its group is around the one of `path`, or in that, in the same file."""
        group, here = self.level[:-1], path[:-1]
        if here[:1] in _HANDING_DOWN:
            here = ("routes", 0, *here[1 if here[0] == "defaults" else 2 :])
        steps = min(len(group), len(here))
        plain = tuple(step if isinstance(step, int) else _plain(step) for step in here[:steps])
        return file == self.file and steps > 0 and _fits(tuple(map(_plain, group[:steps])), plain)

    def takes(self, value: Any) -> bool:
        """Whether it could be meant by who gives a key this value: a value that it accepts, or a group of which it has
        some keys."""
        model = levels(self.file).get(self.level)
        if isinstance(value, dict) and model is not None:
            return any(key in keys_of(model) for key in value)
        adapter = _adapter(self.file, self.level)
        return _accepted(adapter, value) or _accepted(adapter, [value])  # many lists may be written as their only entry


@cache
def _adapter(file: str, level: Level) -> TypeAdapter[Any]:
    field = keys_of(levels(file)[level[:-1]])[level[-1]]
    annotation: Any = Annotated[field.annotation, "", *field.metadata]  # which asks for one
    return TypeAdapter(annotation)


def _accepted(adapter: TypeAdapter[Any], value: Any) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


def _plain(step: str) -> str:
    return step.replace("_", "").lower()  # files may have camelCase


def places_of(key: str) -> Sequence[KeyPlace]:
    """Every place where a key of this name is known."""
    return _places().get(key, ())


@cache
def _places() -> Mapping[str, Sequence[KeyPlace]]:
    places: dict[str, list[KeyPlace]] = {}
    for file in FILES:
        for level, model in levels_without_repeats(file).items():
            for key in keys_of(model):
                if level[:1] not in _HANDING_DOWN or key not in RouteConfig.model_fields:
                    places.setdefault(key, []).append(KeyPlace(file, (*level, key)))
    return places


def format_level(level: Level) -> str:
    """A level as people read it: `services.<name>.endpoints[]`."""
    return ".".join(level).replace(".[]", "[]")

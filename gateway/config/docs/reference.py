"""docs/configuration.md, made of introduction.md and of the models."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from gateway.config.models import FILES, Model
from gateway.config.models.base import keys_of
from gateway.config.models.layout import format_level, levels_without_repeats
from gateway.config.models.routes import RouteDefaults, RouteGroup, RouteKeys
from gateway.config.values.kinds import Kind

SAMPLE = """\
routes:
- path: /v1/process-design/*
  target: process-design:9003
  rewrite: /api/v1/processes/$1
- path: /v1/execution/*
  target: execution-engine:9005
  rewrite: /api/v1/execution/$1
- path: /v1/scheduling/*
  target: scheduling:9008
  rewrite: /api/v1/schedules/$1
"""
"""The routes.yaml that the documentation begins with."""

_HEAD = (
    "<!-- Made by `python -m gateway.config.docs > docs/configuration.md`: change gateway/config/, not this file. -->\n"
)
_INTRODUCTION = Path(__file__).with_name("introduction.md")

_WHOLE: Mapping[type, str] = {bool: "true or false", int: "whole number", str: "text", float: "number"}
_FOR_EACH = ", for each "
_SIZES = (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024), ("B", 1))


def render() -> str:
    """The whole document, as Markdown."""
    introduction = _INTRODUCTION.read_text("utf-8").replace("<sample>", SAMPLE)
    return "\n".join([_HEAD, introduction, *(part for file in FILES for part in _file(file))])


def _file(file: str) -> list[str]:
    places: dict[type[Model], list[str]] = {}
    for level, model in levels_without_repeats(file).items():
        places.setdefault(model, []).append(format_level(level))
    parts = []
    for model, names in places.items():
        title = f"## {file}" if names == [""] else "### " + ", ".join(f"`{name}`" for name in names)
        rows = ["| key | type | default | description |", "|---|---|---|---|"]
        # Keys of routes are listed once, for routes.
        known = RouteKeys.model_fields if issubclass(model, RouteDefaults | RouteGroup) else {}
        for name, field in keys_of(model).items():
            if name in known:
                continue
            cells = (f"`{name}`", _type(field), _default(field), field.description or "")
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        parts.append(
            "\n".join([title, "", " ".join((model.__doc__ or "").split()), "", *(rows if len(rows) > 2 else []), ""])
        )
    return parts


def _type(field: FieldInfo) -> str:
    kind = _kind(field.metadata)
    name = kind or _name(field.annotation)
    bounds = {side: getattr(item, side) for item in field.metadata for side in ("ge", "le") if hasattr(item, side)}
    if not bounds:
        return name
    unit = "s" if name == "duration" else ""
    if "ge" not in bounds:
        return f"{name}, at most {bounds['le']}{unit}"
    return f"{name}, {' to '.join(f'{bound}{unit}' for bound in bounds.values())}"


def _kind(metadata: list[Any] | tuple[Any, ...]) -> str | None:
    return next((item.name for item in reversed(metadata) if isinstance(item, Kind)), None)


def _name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(arguments[1:]) or _name(arguments[0])
    if origin in (Union, UnionType):
        return _either([argument for argument in arguments if argument is not type(None)])
    if origin is Literal:
        return " or ".join(f"`{argument}`" for argument in arguments)
    if origin is tuple:
        return f"list of {_name(arguments[0])}"
    if origin is dict:
        return f"{_name(arguments[1])}{_FOR_EACH}{_name(arguments[0])}"
    return _WHOLE.get(annotation, "keys below")


def _either(annotations: Sequence[Any]) -> str:
    """Their names. What may be one for all or one for each of some keys is named once."""
    names: list[str] = []
    for each in annotations:
        value, keyed, keys = _name(each).partition(_FOR_EACH)
        if keyed and names[-1:] == [value]:
            names[-1] = f"{value}, or one for each of {', '.join(keys.split(' or '))}"
        else:
            names.append(value + keyed + keys)
    return " or ".join(names)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if isinstance(value, Model):
        return "its defaults"
    if value is None or value == "":
        return "unset"
    if value in ({}, ()):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{_quantity(value, _kind(field.metadata) or '')}`"


def _quantity(value: Any, kind: str) -> str:
    if isinstance(value, tuple):
        return "`, `".join(map(str, value))
    if kind.startswith("duration"):
        return f"{value:g}s"
    if kind == "percentage":
        return f"{value:g}%"
    if kind == "size":
        return next(f"{value // size}{unit}" for unit, size in _SIZES if value % size == 0)
    return str(value)

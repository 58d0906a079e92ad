"""pydantic's errors about a file as sentences for the person who edits it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic_core import ErrorDetails

from gateway.config.models.base import Late, Model, keys_of
from gateway.config.models.foreign_words import ours
from gateway.config.models.layout import KeyPlace, model_at, places_of
from gateway.config.problems import Fault, Path, quote, suggest

LINES = 'expected "key: value" lines'
KEYS = 5  # named where there are more of them
PLACES = 3  # the same
_EXPECTED = {
    "string_type": "expected a text",
    "bool_type": "expected true or false",
    "int_type": "expected a whole number",
    "float_type": "expected a number",
    "int_from_float": "expected a whole number",
    "tuple_type": "expected a list",
    "dict_type": LINES,
    "literal_error": "expected {expected}",
    "greater_than": "expected a number greater than {gt}",
    "greater_than_equal": "expected a number of at least {ge}",
    "less_than": "expected a number less than {lt}",
    "less_than_equal": "expected a number of at most {le}",
}


def to_fault(file: str, error: ErrorDetails, top: type[Model] | None = None) -> Fault:
    """The message for one error of pydantic. `top` is the model of a file which is none of a gateway's."""
    path: Path = error["loc"]
    kind = error["type"]
    context: Mapping[str, Any] = error.get("ctx", {})
    if kind == "missing":
        key = str(path[-1])
        model = model_at(file, path[:-1], top)
        examples = keys_of(model)[key].examples if model else None
        example = f", such as {key}: {_as_yaml(examples[0])}" if examples else ""
        return Fault(path[:-1], f'the key "{key}" is missing; add it{example}', show_value=False)
    if kind == "tuple_type" and (example := _example_of_keys(file, path, top)):
        return Fault(path, f"expected a list; write {path[-1]}: {example}")
    if kind == "extra_forbidden":
        return Fault(path, _unknown(file, path, error.get("input", ...), top), show_value=False)
    if kind in ("refused", "pointed"):
        return Fault(path, context["message"], context["hint"], show_value=kind == "refused")
    if kind == "model_type":
        return Fault(path, _lines(file, path, top))
    expected = _EXPECTED.get(kind, "the key does not take this value; see docs/configuration.md")
    return Fault(path, expected.format_map(context).replace("'", '"'))


def _example_of_keys(file: str, path: Path, top: type[Model] | None) -> str:
    """An example of a list whose entries are keys and values, as YAML; empty for other lists."""
    model = model_at(file, path[:-1], top)
    field = keys_of(model).get(str(path[-1])) if model else None
    example = field.examples[0] if field is not None and field.examples else None
    if isinstance(example, list) and isinstance(example[0], dict):
        return _as_yaml(example)
    entry = _entry_of(field.annotation) if field is not None and example is None else None
    keys = keys_of(entry) if entry is not None else {}
    needed = {key: field.examples[0] if field.examples else "..." for key, field in keys.items() if field.is_required()}
    return _as_yaml([needed or {next(iter(keys)): "..."}]) if keys else ""


def _entry_of(annotation: Any) -> type[Model] | None:
    """The model of the entries of a list; None where they may be bare texts, too, or are no keys and values."""
    if get_origin(annotation) is not tuple:
        return next((found for each in get_args(annotation) if (found := _entry_of(each)) is not None), None)
    entry = get_args(annotation)[0]
    if get_args(entry)[1:] == get_args(Late)[1:]:
        entry = get_args(entry)[0]
    return entry if isinstance(entry, type) and issubclass(entry, Model) else None


def _lines(file: str, path: Path, top: type[Model] | None) -> str:
    model = model_at(file, path, top)
    keys = list(keys_of(model)) if model else []
    if not keys:
        return LINES
    which = "keys such as" if len(keys) > KEYS else "the keys" if len(keys) > 1 else "the key"
    return f"{LINES} with {which} {', '.join(keys[:KEYS])}"


def _as_yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _unknown(file: str, path: Path, value: Any, top: type[Model] | None) -> str:
    key = str(path[-1])
    model = model_at(file, path[:-1], top)
    known = list(keys_of(model)) if model else []
    if key == "groups" and path[0] in ("groups", "routes"):
        return "groups cannot be nested; write it beside this one, with the whole prefix"
    places = [each for each in places_of(key) if top is None or (len(path) == 1 and each.level == (key,))]
    foreign = ours(path, own=bool(places)) if top is None else None
    if foreign is not None:
        return foreign
    likely = suggest(key, known, 0.8)
    if likely:
        return f"unknown key, did you mean {quote(likely)}?"
    elsewhere = _meant(file, path, value, places)
    possible = _longer(key, known) or suggest(key, known, 0.6)
    if possible and not any(each.near(file, path) or len(path) == 1 for each in elsewhere):
        return f"unknown key, did you mean {quote(possible)}?"
    if elsewhere:
        return f"unknown key here; it belongs {' or '.join(map(str, elsewhere[:PLACES]))}"
    return f"unknown key; remove it. Known here: {', '.join(known)}"


def _meant(file: str, path: Path, value: Any, places: Sequence[KeyPlace]) -> Sequence[KeyPlace]:
    """The places where an unknown key may have been meant to stand: not everything of its name is."""
    tops = [each for each in places if len(each.level) == 1]
    if len(path) == 1 and tops:  # it is in the wrong file
        return tops
    fitting = [each for each in places if each.takes(value)]
    if len(path) == 1:  # it has lost its group
        here = [each for each in fitting if each.file == file]
        return here if len(here) <= PLACES else []
    near = [each for each in fitting if each.near(file, path)]
    return near or [each for each in fitting if each in tops]


def _longer(key: str, known: Sequence[str]) -> str | None:
    """The one known key that begins with this one, such as `key_file` with `key`."""
    begun = [each for each in known if each.startswith(key)]
    return begun[0] if len(begun) == 1 and len(key) > 2 else None

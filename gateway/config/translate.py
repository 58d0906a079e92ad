"""pydantic's errors as sentences for the person who edits the file."""

import difflib
import json
from collections.abc import Mapping
from typing import Any

from pydantic_core import ErrorDetails

from gateway.config.models.base import keys_of
from gateway.config.models.layout import model_at, places_of
from gateway.config.problems import Fault, Path, Problem, format_path, quote
from gateway.config.yaml.document import Document, Node, Scalar, Sequence, resolve

SECRETIVE = frozenset(
    {"keys", "key", "hash", "basic", "password", "secret", "client_secret", "token", "signatures", "url", "jwks_url"}
)
"""Keys of auth.yaml at or below which a credential may stand, also one that was put into the wrong place."""

_EXPECTED = {
    "string_type": "expected a text",
    "bool_type": "expected true or false",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "tuple_type": "expected a list",
    "dict_type": 'expected "key: value" lines',
    "model_type": 'expected "key: value" lines',
    "literal_error": "expected {expected}",
    "greater_than_equal": "expected a number of at least {ge}",
    "less_than_equal": "expected a number of at most {le}",
}


def to_fault(file: str, error: ErrorDetails) -> Fault:
    """What one error of pydantic says, in our words."""
    path: Path = error["loc"]
    kind = error["type"]
    context: Mapping[str, Any] = error.get("ctx", {})
    if kind == "missing":
        return Fault(path[:-1], _missing(file, path), show_value=False)
    if kind == "extra_forbidden":
        return Fault(path, _unknown(file, path), show_value=False)
    if kind == "refused":
        return Fault(path, context["message"], context["hint"])
    if kind == "pointed":
        return Fault(path, context["message"], context["hint"], show_value=False)
    expected = _EXPECTED.get(kind, "this is not what the key takes; see the documentation of the configuration")
    return Fault(path, expected.format_map(context).replace("'", '"'))


def _missing(file: str, path: Path) -> str:
    key = str(path[-1])
    model = model_at(file, path[:-1])
    examples = keys_of(model)[key].examples if model else None
    example = f", such as {key}: {_as_yaml(examples[0])}" if examples else ""
    return f'the key "{key}" is missing; add it{example}'


def _as_yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _unknown(file: str, path: Path) -> str:
    key = str(path[-1])
    model = model_at(file, path[:-1])
    known = list(keys_of(model)) if model else []
    likely = suggest(key, known, 0.8)
    if likely:
        return f"unknown key, did you mean {quote(likely)}?"
    places = places_of(key)
    tops = [(where, place) for where, place in places if place == key]  # whoever mixes up files means the file's own
    elsewhere = [f"in {where}, as {place}" for where, place in tops or places]
    if elsewhere:
        return f"unknown key here; it belongs {' or '.join(elsewhere[:3])}"
    possible = suggest(key, known, 0.6)
    if possible:
        return f"unknown key, did you mean {quote(possible)}?"
    return f"unknown key; remove it. Known here: {', '.join(known)}"


def suggest(word: str, known: list[str], likeness: float = 0.6) -> str | None:
    """The known word that is most like this one, letter case and kind of hyphen aside."""
    plain = {name.lower().replace("-", "_"): name for name in known}
    close = difflib.get_close_matches(word[:100].lower().replace("-", "_"), plain, 1, likeness)
    return plain[close[0]] if close else None


def to_problem(document: Document, fault: Fault) -> Problem:
    """The fault with its line, and with the value it is about, unless that was expanded and may be a secret."""
    place = document.find(fault.path)
    scalar = place.node if isinstance(place.node, Scalar) else None
    message = fault.message
    if _may_be_secret(document.file, fault.path):
        return Problem(document.file, place.line, place.column, format_path(place.path), message)
    if scalar is None or not scalar.expanded:
        message += fault.hint
    if fault.path[-1:] == ("[key]",) and len(place.path) < len(fault.path):
        message += f" (got {quote(str(place.path[-1]))})"
    elif fault.show_value and (scalar is not None or message.startswith("expected ")):
        message += _remedy(message, scalar) + f" (got {_describe(place.node)})"
    return Problem(document.file, place.line, place.column, format_path(place.path), message)


def _may_be_secret(file: str, path: Path) -> bool:
    """Whether what stands there may be a credential, or was meant to be one: then it is not repeated anywhere."""
    keys = {step for step in path if isinstance(step, str)}
    return (file == "auth.yaml" and bool(keys & SECRETIVE)) or bool(path and path[0] in ("redis", "audit_log"))


def _remedy(message: str, scalar: Scalar | None) -> str:
    """What to do when the value is right but for its quotes."""
    if scalar is None or ";" in message:
        return ""
    if message.startswith("expected a text") and scalar.plain and not scalar.expanded and scalar.text:
        return "; put it in quotes"
    if message == "expected a list" and not scalar.expanded and scalar.text:
        return f"; write [{scalar.text}]"
    if message.startswith(("expected a whole", "expected true")) and not scalar.plain:
        return "; write it without quotes, on a line of its own"
    return ""


def _describe(node: Node | None) -> str:
    if node is None:
        return "nothing"
    if not isinstance(node, Scalar):
        return "a list" if isinstance(node, Sequence) else 'lines of "key: value"'
    if node.expanded:
        return f"the value of {node.expanded}"
    value = resolve(node.text) if node.plain else node.text
    if value is None:
        return "nothing"
    return quote(node.text) if isinstance(value, str) else node.text

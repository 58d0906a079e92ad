"""From a fault to the problem that people read: its line, and the value that stands there."""

from gateway.config.problems import Fault, Path, Problem, format_path, quote
from gateway.config.yaml.document import Document, Node, Scalar, Sequence, resolve

SECRETIVE = frozenset(
    {"keys", "key", "hash", "basic", "password", "secret", "client_secret", "token", "signatures", "url", "jwks_url"}
)
"""Keys of auth.yaml at or below which a credential may stand, also one that was put into the wrong place."""


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

"""Makes problems from faults: adds the line, and the value at that place."""

from gateway.config.problems import Fault, Path, Problem, Severity, format_path, quote
from gateway.config.yaml.document import Document, Mapping, Node, Place, Scalar, Sequence, resolve

SECRETIVE = frozenset(
    {"keys", "key", "hash", "basic", "password", "secret", "client_secret", "token", "signatures", "url", "jwks_url"}
)
"""Keys of auth.yaml and of providers at or below which a credential may stand, also one that is in the wrong place."""


def to_problem(document: Document, fault: Fault, severity: Severity = "error") -> Problem:
    """The fault with its line. An error repeats the value it is about, unless that was expanded or may be a secret."""
    place = document.find(fault.path)
    message = fault.message + _indented(document, fault)
    if message.startswith("unknown key") and len(place.path) < len(fault.path):  # a mapping in place of a list of them
        message = message.replace("unknown key", f"unknown key {quote(str(fault.path[-1]))}", 1)
    if severity == "error" and not _may_be_secret(document.file, fault.path):
        message += _repeated(fault, place)
    return Problem(place.file, place.line, place.column, format_path(place.shown), message, severity)


def _indented(document: Document, fault: Fault) -> str:
    """The other remedy for an unknown key that stands behind an empty one: it may have lost its indentation."""
    parent = document.find(fault.path[:-1]).node
    if not fault.message.startswith("unknown key") or not isinstance(parent, Mapping):
        return ""
    before = ""
    for key, entry in parent.entries.items():
        if key == fault.path[-1]:
            break
        before = key if isinstance(entry.node, Scalar) and entry.node.plain and not entry.node.text else ""
    return f"; if it belongs to {before}, indent it" if before else ""


def _repeated(fault: Fault, place: Place) -> str:
    """The end of an error message: the hint, and the value in the file."""
    scalar = place.node if isinstance(place.node, Scalar) else None
    hint = fault.hint if scalar is None or not scalar.expanded else ""
    if fault.path[-1:] == ("[key]",) and len(place.path) < len(fault.path):
        return f"{hint} (got {quote(str(place.path[-1]))})"
    if not fault.show_value or (scalar is None and not fault.message.startswith("expected ")):
        return hint
    return f"{hint}{_remedy(fault.message + hint, scalar)} (got {_describe(place.node)})"


def _may_be_secret(file: str, path: Path) -> bool:
    """Whether what stands there may be a credential, or was meant to be one: then it is not repeated anywhere."""
    keys = {step for step in path if isinstance(step, str)}
    if file == "models.yaml":
        if path[:1] == ("providers",):
            return len(path) < 3 or bool(keys & SECRETIVE)
        return bool(keys & {"headers", "secret"})
    if path[:1] == ("control_plane",):
        return len(path) < 2 or path[1] == "token"
    return (file == "auth.yaml" and bool(keys & SECRETIVE)) or path[:1] in (("redis",), ("audit_log",))


def _remedy(message: str, scalar: Scalar | None) -> str:
    """The remedy if the value is right except for its quotes."""
    if scalar is None or ";" in message:
        return ""
    if message.startswith("expected a text") and scalar.plain and not scalar.expanded and scalar.text:
        return "; put it in quotes"
    nothing = scalar.plain and resolve(scalar.text) is None
    if message == "expected a list" and not scalar.expanded and not nothing:
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

"""From nodes to plain values, with `${...}` in texts replaced.

This happens after the YAML was read, so what a variable or a secret file holds can never change the structure of a
file, only one value in it.
"""

import re
from collections.abc import Callable
from collections.abc import Mapping as MappingOf
from pathlib import Path as FilePath
from typing import Any

from gateway.config.problems import MOST_FOUND, Fault, quote
from gateway.config.regular_files import read_secret, to_mend
from gateway.config.secrets import KnownSecrets, names_a_secret
from gateway.config.yaml.document import MAX_NODES, Folded, Mapping, Node, Scalar, Sequence, resolve

MAX_EXPANSIONS = 100

_EXPANSION = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_WHOLE = re.compile(r"\$\{[^}]*\}")
_SECRET_KEY = re.compile(
    r"(?:^|_)(?:password|passphrase|secret|token|api_?key|credential|dsn|slack|webhook)$", re.IGNORECASE
)
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.ASCII | re.DOTALL)


class ExpansionError(Exception):
    """One `${...}` cannot be replaced; the text is a sentence that names it."""


_MISSING = "the environment variable {} is not set"


def missing_variable(message: str) -> str | None:
    """The variable of which an error says that it is not set."""
    words = message.split(";", maxsplit=1)[0].split()
    return words[3] if len(words) > 3 and _MISSING.format(words[3]) == " ".join(words) else None


class Expander:
    """Replaces `${NAME}`, `${NAME:-default}` and `${file:path}`; `$${` stands for `${` itself.

    Relative paths begin at `base`. Every file is read once, so that one value cannot be there in two versions. What
    probably is a secret is added to `secrets`. `read` is what reads a file; raises OSError and ValueError.
    """

    def __init__(
        self,
        environment: MappingOf[str, str],
        base: FilePath,
        secrets: KnownSecrets | None = None,
        read: Callable[[FilePath], str] = read_secret,
    ) -> None:
        self.secrets = KnownSecrets() if secrets is None else secrets
        self._environment = environment
        self._base = base
        self._read_text = read
        self._files: dict[str, str] = {}
        self.named: set[str] = set()
        """The files that were asked for, whether they could be read or not."""

    def expand(self, text: str) -> str:
        """The text with everything replaced; raises ExpansionError."""
        if text.count("${") > MAX_EXPANSIONS:
            raise ExpansionError(f"the value has more than {MAX_EXPANSIONS} times ${{...}}; make it shorter")
        return _EXPANSION.sub(self._replacement, text)

    def _replacement(self, match: re.Match[str]) -> str:
        inside: str | None = match[1]
        if inside is None:
            return "${"
        if not match[2]:
            raise ExpansionError('"${" is without its "}"; close it, or write $${ for the characters themselves')
        if inside.startswith("file:"):
            name = inside.removeprefix("file:")
            if name not in self._files:
                self._files[name] = self._read(name)
                self.secrets.add(self._files[name])
            return self._files[name]
        return self._variable(inside)

    def _variable(self, inside: str) -> str:
        match = _VARIABLE.fullmatch(inside)
        if match is None:
            raise ExpansionError(
                f"{quote(f'${{{inside}}}')} is not ${{NAME}}, ${{NAME:-default}} or ${{file:path}};"
                " write $${ for the characters themselves, and $1 for a capture"
            )
        name, default = match.groups()
        value = self._environment.get(name)
        if default is not None and not value:
            return str(default)
        if value is None:
            raise ExpansionError(f"{_MISSING.format(name)}; set it, or write ${{{name}:-default}}")
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise ExpansionError(f"the environment variable {name} is not UTF-8; set it to a text")
        if names_a_secret(name):
            self.secrets.add(value)
        return value

    def _read(self, name: str) -> str:
        self.named.add(name)
        try:
            return self._read_text(self._base / name)
        except OSError as error:
            reason, remedy = error.strerror or "it cannot be read", to_mend(error)
        except UnicodeDecodeError:  # its own text would quote the content
            reason, remedy = "it is not UTF-8", "write text into it, or correct the path"
        except ValueError as error:
            reason, remedy = str(error), "correct it, or the path"
        raise ExpansionError(f"the file {quote(name)} cannot be used: {reason}; {remedy}")


class _TooManyError(Exception):
    """A document has more values than it may have, or faults than are looked for."""


class Converter:
    """Turns nodes into the values that the models take, and notes in `faults` what cannot be expanded.
    `stopped`: there was too much of it, and no value came of it."""

    def __init__(self, expander: Expander) -> None:
        self.faults: list[Fault] = []
        self._expander = expander
        self._path: list[str | int] = []
        self.stopped = False
        self._values = 0

    def convert(self, node: Node | Folded | None) -> Any:
        """Dicts, lists, texts, numbers, booleans and None, and what was folded as it is."""
        try:
            return self._converted(node)
        except _TooManyError:
            self.stopped = True
            return None

    def _converted(self, node: Node | Folded | None) -> Any:
        if node is None or isinstance(node, Folded):
            return node
        if isinstance(node, Scalar):
            if "${" in node.text:
                return self._expanded(node)
            if _is_literal_secret(self._path):
                self._expander.secrets.add(node.text)
            return resolve(node.text) if node.plain else node.text
        self._values += len(node.items if isinstance(node, Sequence) else node.entries)
        if self._values > MAX_NODES:
            message = f"with what groups and defaults hand down, there are more than {MAX_NODES:,} values; use fewer"
            self.faults.append(Fault(tuple(self._path[:1]), message, show_value=False))
            raise _TooManyError
        self._path.append("")
        value: Any = self._list(node) if isinstance(node, Sequence) else self._dict(node)
        self._path.pop()
        return value

    def _list(self, node: Sequence) -> list[Any]:
        values = []
        for index, item in enumerate(node.items):
            self._path[-1] = index
            values.append(self._converted(item))
        return values

    def _dict(self, node: Mapping) -> dict[str, Any]:
        values = {}
        for key, entry in node.entries.items():
            self._path[-1] = key
            values[key] = self._converted(entry.node)
        return values

    def _expanded(self, node: Scalar) -> Any:
        try:
            prefix = self._expander.expand(node.text[: node.prefix]).rstrip("/")
            text = prefix + self._expander.expand(node.text[node.prefix :])
        except ExpansionError as error:
            self.faults.append(Fault(tuple(self._path), str(error), show_value=False))
            if len(self.faults) > MOST_FOUND:
                raise _TooManyError from None
            return BROKEN
        names = ", ".join(match[0] for match in _EXPANSION.finditer(node.text) if match[1] is not None)
        node.expanded = names if names.isprintable() else quote(names)
        if not node.plain or _WHOLE.fullmatch(node.text) is None:
            return text
        value = resolve(text)
        return text if value is None else value


def _is_literal_secret(path: list[str | int]) -> bool:
    """Whether a secret stands at this place of a file, where only its name should."""
    if (path[:1] == ["providers"] and "keys" in path) or (path[:1] == ["mcp"] and "headers" in path):
        return True
    key = next((step for step in reversed(path) if isinstance(step, str)), "")
    if key == "key":
        return path[:1] == ["audit_log"] or (path[:1] == ["consumers"] and "keys" in path)
    return _SECRET_KEY.search(key) is not None


BROKEN = "${}"
"""Stands for a value that could not be expanded. Whatever else is said about it is left out: one error is enough."""

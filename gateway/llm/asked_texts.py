"""Which strings of a request are parts of its protocol, and which a model may read.

A client writes what it likes into any member, and templates of models write out more of them than content: roles, ids,
tools with all that describes them. So a string is a part of the protocol only where the protocol has it and it is one
that the protocol knows. What is taken for a text though it is none does no harm: a guardrail looks at it.
"""

from __future__ import annotations

import json
import re
from typing import Final

_ROLES: Final = frozenset(
    {"system", "developer", "user", "assistant", "tool", "function", "model", "critic", "discriminator", "unknown"}
)
_TYPES: Final = frozenset(
    {
        *("string", "number", "integer", "boolean", "object", "array", "null"),
        *("STRING", "NUMBER", "INTEGER", "BOOLEAN", "OBJECT", "ARRAY", "NULL", "TYPE_UNSPECIFIED"),
        *("function", "custom", "grammar", "text", "json_schema", "ephemeral"),
    }
)
_FORMATS: Final = frozenset(
    {
        *("date-time", "date", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid", "regex", "enum"),
        *("int32", "int64", "float", "double", "byte", "binary", "password", "uri-reference", "json-pointer", "url"),
        *("wav", "mp3", "flac", "opus", "aac", "ogg", "webm", "m4a", "pcm16", "g711_ulaw", "g711_alaw", "float_array"),
        *("png", "jpeg", "jpg", "webp", "gif", "pdf", "csv", "doc", "docx", "html", "md", "txt", "xls", "xlsx"),
    }
)
_KEYWORDS: Final = frozenset(
    {
        *("type", "properties", "required", "description", "title", "enum", "const", "default", "items", "format"),
        *("anyOf", "oneOf", "allOf", "not", "$ref", "$defs", "definitions", "$schema", "$id", "$comment", "nullable"),
        *("additionalProperties", "additional_properties", "patternProperties", "propertyNames", "propertyOrdering"),
        *("pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "uniqueItems"),
        *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "prefixItems"),
        *("contains", "if", "then", "else", "example", "examples", "deprecated", "readOnly", "writeOnly"),
        *("name", "strict", "function", "functions", "parameters", "schema", "json_schema", "input_schema", "tools"),
        *("functionDeclarations", "function_declarations", "parametersJsonSchema", "cache_control", "ttl"),
        *("custom", "grammar", "syntax", "definition", "defer_loading", "input_examples", "eager_input_streaming"),
    }
)
"""Names of members of tools and schemas that say nothing by themselves."""

_SCHEMAS: Final = frozenset(
    {
        *("tools", "functions", "functionDeclarations", "function_declarations", "parameters", "properties", "schema"),
        *("json_schema", "input_schema", "parametersJsonSchema", "parameters_json_schema", "responseSchema"),
        *("response_schema", "responseJsonSchema", "response_json_schema", "responseFormat"),
    }
)
"""Members that describe tools or answers: a model reads all that is in them."""

_VALUES: Final = frozenset({"enum", "const", "default", "example", "examples", "input_examples"})
_ENCODED: Final = frozenset(
    {
        *("signature", "thoughtSignature", "thought_signature", "b64_json", "partial_image_b64", "audio"),
        "obfuscation",
    }
)
_NAME: Final = re.compile(r"[$A-Za-z_][A-Za-z0-9_$.-]{0,63}|[0-9]{1,7}")  # numbers: of tokens, in logit_bias
_TYPE: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_WORD: Final = re.compile(r"(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9_.:/-]{1,128}")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_=\r\n.-]*")

Path = tuple[str | int, ...]


def is_protocol(path: Path, member: str, text: str) -> bool:
    """Whether a string in such a member, which has no text by its name, has none."""
    if path in (("model",), ("prompt_cache_key",)):
        return True  # nothing but labels, which no model gets
    if member == "role":
        return text in _ROLES
    if member == "format":
        return text in _FORMATS
    if member in _ENCODED:
        return is_encoded(text)
    if _is_described(path):
        return member == "type" and text in _TYPES
    return (_TYPE if member == "type" else _WORD).fullmatch(text) is not None


def is_encoded(text: str) -> bool:
    """Whether this can be what a provider has signed or encrypted, or a picture or sound."""
    return _BASE64.fullmatch(text) is not None


def is_known_name(path: Path) -> bool:
    """Whether the name of the member at this path is one of the protocol's, or could be."""
    name = str(path[-1])
    return name in _KEYWORDS or (_NAME.fullmatch(name) is not None and not _is_described(path))


def is_read(path: Path) -> bool:
    """Whether a model reads a number there, as it would a string."""
    return path[-1:] in (("content",), ("text",)) or (_is_described(path) and not _VALUES.isdisjoint(path))


def is_said_before(path: Path) -> bool:
    """Whether tokens of an answer stand there which comes back in a request of Responses."""
    return len(path) == 5 and path[0] == "input" and path[2] == "content"


def unescaped(arguments: str) -> str | None:
    """What a template or a client gets that parses these arguments of a call; None where it is what they are."""
    if "\\" not in arguments:
        return None
    try:
        text = json.dumps(json.loads(arguments, strict=False), ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    return text if text != arguments else None


def _is_described(path: Path) -> bool:
    """Whether this is within the description of a tool, or of an answer. Outermost members of tools are not."""
    return not _SCHEMAS.isdisjoint(path[:-1]) and not (path[0] == "tools" and len(path) == 3)

"""Path patterns and rewrites, as far as they can be wrong on their own. How they match is for `gateway.routes`."""

import contextlib
import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from gateway.algorithms.linear_regex import LinearRegex
from gateway.algorithms.regex_syntax import RegexError
from gateway.config.values.kinds import Kind, Text, TextLike, refuse
from gateway.routes.wildcards import PatternError, wildcards, without_expressions

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_BRACES = re.compile(r"\{([^{}]*)\}")
_REFERENCE = re.compile(r"\$([0-9]+)|\{([^{}]*)\}", re.ASCII)
_WORDS = "a capture is written {name}, of letters, digits and _, not beginning with a digit"
_MODIFIER = re.compile(r"\s*(\^~|~\*?|=|\^|)\s*(.*)", re.DOTALL)  # of nginx; Kong has ~
_ELSEWHERE = "a regular expression for a segment: /a/{name:[0-9]+}"
_PLAIN_SEGMENT = re.compile(r"[A-Za-z0-9_~@%,!-]*")
_GROUP = re.compile(r"\(\?P?<([A-Za-z_][A-Za-z0-9_]*)>([^()]*)\)")
_PLAIN_PATH = re.compile(r"(/[^/*{}?#]+)+")


def captures(pattern: str) -> tuple[str, ...]:
    """The captures of the pattern, in order: the name of each `{name}`, and "" for each `*`."""
    try:
        return tuple(wildcard.name or "" for wildcard in wildcards(pattern))
    except PatternError:  # reported for the pattern itself
        return ()


def check_path(pattern: str) -> str:
    """A route's path: it starts with "/", and every `{name}` in it is well-formed and there once."""
    if not pattern.startswith("/"):
        raise refuse('a path starts with "/"', f"; write {_in_our_form(pattern)}")
    try:
        found = list(wildcards(pattern))
    except PatternError:
        raise refuse("a { or } is without its partner; a capture is written {name}") from None
    names = [wildcard.name for wildcard in found if wildcard.name is not None]
    if any(not _NAME.fullmatch(name) for name in names):
        raise refuse(_WORDS)
    for name in names:
        if names.count(name) > 1:
            raise refuse("each {name} may be there only once; rename one", f": {{{name}}}")
    for wildcard in found:
        if wildcard.expression is not None:
            check_regex(wildcard.expression.source)
    return pattern


def _in_our_form(path: str) -> str:
    """The same in our form, of nginx's `= /a`, `^~ /a/` and `~ ^/a/[0-9]+$`, or of Kong's `~/a/\\d+$`."""
    match = _MODIFIER.fullmatch(path)
    modifier, rest = match.groups() if match else ("", path)
    if modifier == "=":
        return rest if rest.startswith("/") else f"/{rest}"
    if modifier == "^~":
        return rest.rstrip("/") + "/*"
    if not modifier:
        return f"/{path}"
    expression = rest.removeprefix("^").removesuffix("$")
    if not expression.startswith("/"):  # it may begin anywhere in the path
        return _ELSEWHERE
    steps = expression.split("/")
    ours = "/".join(_segment(step, number) for number, step in enumerate(steps))
    try:
        return check_path(ours)
    except PydanticCustomError:
        return _ELSEWHERE


def _segment(step: str, number: int) -> str:
    if _PLAIN_SEGMENT.fullmatch(step):
        return step
    if step in (".*", "(.*)", ".+", "(.+)"):
        return "*"
    named = _GROUP.fullmatch(step)
    return f"{{{named[1]}:{named[2]}}}" if named else f"{{p{number}:{step}}}"


def check_regex(regex: str) -> str:
    """A regular expression for a whole text."""
    try:
        LinearRegex(regex)
    except RegexError as error:
        message = f"this regular expression cannot be used: see character {error.offset + 1}"
        raise refuse(message, f", {error}") from None
    return regex


def check_rewrite(template: str, patterns: Sequence[str]) -> str:
    """A route's rewrite: it starts with "/", and refers only to what each of these paths captures."""
    if not template.startswith("/"):
        raise refuse('a rewrite starts with "/"', f"; write /{template}")
    if "*" in template:
        raise refuse('a rewrite has no "*"; write the match of the path as $1, or $2 and so on')
    if "?" in template or "#" in template:
        raise refuse('a rewrite is only a path; the query is sent as it came, so remove what begins with "?" or "#"')
    rest = _BRACES.sub("", template)
    if "{" in rest or "}" in rest:
        raise refuse("a { or } is without its partner; a capture is written {name}")
    if any(not _NAME.fullmatch(name) for name in _BRACES.findall(template)):
        raise refuse(_WORDS)
    for pattern in patterns:
        known = captures(pattern)
        for match in _REFERENCE.finditer(template):
            number, name = match.groups()
            if name and name not in known:
                raise refuse("the path has no capture of this name; correct one of them", f": {{{name}}}")
            if number and not (len(number) < 5 and 1 <= int(number) <= len(known)):
                last = f" to ${len(known)}" if len(known) > 1 else ""
                has = f"has only $1{last}" if known else "captures nothing: add * or {name} to it"
                raise refuse(
                    f"the rewrite refers to a capture that the path does not have; the path {has}", f", no {match[0]}"
                )
    return template


def _check_prefix(prefix: str) -> str:
    if not prefix.startswith("/"):
        raise refuse('a prefix starts with "/"', f"; write /{prefix}")
    return prefix


def _check_group_prefix(prefix: str) -> str:
    if prefix.endswith("/*"):
        plain = prefix.removesuffix("/*") or "/"
        raise refuse("a prefix is only the beginning of paths, without the rest that they take", f"; write {plain}")
    return check_path(prefix)


def _check_base_path(text: str) -> str:
    if text in ("", "/"):
        return ""
    if _PLAIN_PATH.fullmatch(text) is None:
        plain = text.strip("/")
        hint = f"; write /{plain}" if _PLAIN_PATH.fullmatch(f"/{plain}") else ""
        raise refuse('a base path begins with "/", does not end with "/", and has no wildcards: /api', hint)
    return text


def slug(pattern: str) -> str:
    """A readable id of a path: `/v1/process-design/*` is `v1-process-design`, `/` is `root`."""
    with contextlib.suppress(PatternError):
        pattern = without_expressions(pattern)
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", pattern, flags=re.ASCII)
    return words[:80].strip("-._") or "root"


def _one(value: object) -> object:
    if isinstance(value, list):
        raise refuse("a route has one path here; write several as paths: [...]")
    return value


PathPattern = Annotated[Text, Kind("path", "^(/|$)"), AfterValidator(check_path), BeforeValidator(_one)]
GroupPrefix = Annotated[Text, Kind("path", "^/"), AfterValidator(_check_group_prefix)]
RewriteTemplate = Annotated[Text, Kind("path", "^/[^*?#]*$")]
PathPrefix = Annotated[Text, Kind("path", "^/"), AfterValidator(_check_prefix)]
BasePath = Annotated[Text, Kind("path", "^(/|(/[^/*{}?#]+)*)$"), AfterValidator(_check_base_path)]
RouteId = Annotated[
    str,
    TextLike(
        "text",
        "[A-Za-z0-9][A-Za-z0-9._-]{0,99}",
        "an id is letters, digits, dots, hyphens and underscores, at most 100",
    ),
]

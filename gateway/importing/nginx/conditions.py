"""`if` of nginx: methods that it refuses, what callers must bring, and other requests that it turns away."""

from __future__ import annotations

import re

from gateway.algorithms.linear_regex import LinearRegex
from gateway.importing.description import Route, literal
from gateway.importing.nginx.directives import Directive
from gateway.importing.regexes import anywhere

_OF_REQUESTS = re.compile(
    r"\$(?:host|http_host|scheme|https|server_\w+|request_\w+|uri|document_uri|args|is_args|http_user_agent|http_upgrade|"
    r"http_origin|http_x_forwarded_proto|http_accept\w*|http_referer|request|content_\w+|invalid_referer|\d)"
)
"""Variables that say nothing about the caller."""


def refuse_by_conditions(location: Directive, route: Route) -> None:
    """Every `if` that holds for a location: methods that it refuses, and who must bring something."""
    for condition in [below for level in location.levels() for below in level.block if below.name == "if"]:
        refuses = any(
            (below.name == "return" and below.argument in ("401", "403", "404", "405", "410", "444"))
            or (below.name == "deny" and below.argument == "all")
            for below in condition.block
        )
        if not refuses or condition.became == "blocklist by user_agent":
            continue
        variable, operator, text = [*condition.arguments, "", "", ""][:3]
        methods = re.fullmatch(r"\^?\(?([A-Z]+(?:\|[A-Z]+)*)\)?\$?", text)
        if variable == "$request_method" and operator in ("!~", "!~*", "!=") and methods and route.methods is None:
            route.methods = tuple(sorted(methods[1].split("|")))
            condition.ignore()
            condition.said("methods of routes")
            condition.differs("other methods get a 405")
        elif (_OF_REQUESTS.fullmatch(variable) or not _holds(condition)) and (refused := _ours(condition)):
            route.conditions.append({"when": f"not ({refused})"})
            condition.ignore()
            condition.said("authorize of routes")
            condition.differs("what it turns away gets a 403")
        elif not _OF_REQUESTS.fullmatch(variable) and variable.startswith("$") and _holds(condition):
            condition.unsaid(
                "callers must send a value that is compared here: write it in auth.yaml, or as `when` of `authorize`. "
                "Its routes refuse every request until that is done"
            )
            route.close()
    for condition in location.all("if"):
        if condition.became == "":
            condition.unsaid(
                "conditions within a location are not translated; see predicates of routes and `authorize`"
            )


def _holds(condition: Directive) -> bool:
    """Whether it refuses who brings nothing: no such header, cookie, certificate or address."""
    variable, operator, text = [*condition.arguments, "", "", ""][:3]
    value = _usual(variable, condition)
    if operator in ("=", "!="):
        return (value == text) is (operator == "=")
    if operator in ("~", "~*", "!~", "!~*"):
        try:
            found = re.search(text, value, re.IGNORECASE if "*" in operator else 0) is not None
        except re.error:
            return True
        return found is not operator.startswith("!")
    return value not in ("", "0")


def _usual(variable: str, condition: Directive) -> str:
    """The value of a variable, by `set`, `map` or `geo`, for who brings nothing."""
    for level in condition.above.levels() if condition.above is not None else ():
        value = None
        for directive in level.block:
            if directive is condition:
                break
            asks = directive.name == "if" and not _OF_REQUESTS.fullmatch(directive.argument)
            for assigned in directive.block if asks and _holds(directive) else [directive]:
                if assigned.name == "set" and assigned.arguments[:1] == (variable,):
                    value = re.sub(rf"\${{?{variable[1:]}}}?", value or "", "".join(assigned.arguments[1:2]))
            if directive.name in ("map", "geo") and directive.arguments[-1:] == (variable,):
                usual = [below.argument for below in directive.block if below.name == "default"]
                value = usual[-1] if usual else ""
        if value is not None:
            return value
    return ""


_FORMS = {"headers.host": r"[a-z0-9.-]+", "path": r"/.*", "method": r"[A-Z]+", "client": r"[0-9a-f.:]+"}
"""What values there are: hosts in lower case, paths."""
_NAMES = {
    "$request_method": "method",
    "$host": "headers.host",
    "$http_host": "headers.host",
    "$uri": "path",
    "$document_uri": "path",
    "$request_uri": "original_path",
    "$remote_addr": "client",
}


def _ours(condition: Directive) -> str:
    """A condition of ours that holds where this one does; "" where there is none."""
    variable, operator, text = [*condition.arguments, "", "", ""][:3]
    name = _NAMES.get(variable, "")
    if header := re.fullmatch(r"\$http_([a-z0-9_]+)", variable):
        name = name or f'headers["{header[1].replace("_", "-")}"]'
    elif parameter := re.fullmatch(r"\$arg_([a-z0-9_]+)", variable):
        name = f'query["{parameter[1]}"]'
    if not name or ("'" in text and '"' in text) or "$" in text.removesuffix("$"):
        return ""
    if operator in ("~", "~*", "!~", "!~*"):
        expression = ("(?i)" if "*" in operator else "") + anywhere(text)
        try:
            LinearRegex(expression)
        except ValueError:
            return ""
        if variable == "$request_uri":
            condition.differs("only the path is compared, not the query")
        found = f"{name}.matches({literal(expression)})"
        return f"not ({found})" if operator.startswith("!") else found
    there = f"{literal(name[9:-2])} in headers" if name.startswith('headers["') else ""
    if operator in ("=", "!=") and not text:
        return there and (f"not ({there})" if operator == "=" else there)
    if operator in ("=", "!=") and re.fullmatch(_FORMS.get(name, ".+"), text):
        same = f"{name} == {literal(text)}"
        return same if operator == "=" else f"not ({same})"
    return "" if operator else there

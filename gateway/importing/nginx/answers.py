"""`return` and redirecting `rewrite` of nginx: routes that are answered here."""

from __future__ import annotations

import re
from dataclasses import replace

from gateway.importing.description import Path, Route, Settings, identifier
from gateway.importing.nginx.directives import Directive
from gateway.importing.nginx.locations import of_groups
from gateway.importing.patterns import as_it_came, intersection
from gateway.importing.regexes import Unsayable, patterns_of

_WHERE = re.compile(r"(?:(https?)://([\w.:-]+))?(/[^?]*?)?(\$request_uri|\$uri)?(?:\$is_args\$args|\?)?")


def returned(directive: Directive, route: Route, expression: str = "") -> bool:
    """Make a route answer as `return` does, in a location of this expression; False if that cannot be translated."""
    code, *texts = directive.arguments or ("404",)
    text = texts[0] if texts else ""
    if not code.isdigit():
        code, text = "302", code
    status = int(code)
    directive.said(f"route {route.name}")
    if status in (301, 302, 303, 307, 308):
        return _redirect(directive, route, status, text, expression)
    if status == 444:
        directive.differs("the connection is not dropped: the answer is a 404")
        status = 404
    if "$" in text:
        directive.differs("variables in the body are sent as they are written")
    answer: Settings = {"status": status if 200 <= status <= 599 else 404}
    if text and status not in (204, 205, 304):
        answer["body"] = text.replace("\\n", "\n").replace("\\t", "\t")
        # The type of a body that is returned.
        level = directive.above
        if level is None:
            kind = ""
        else:
            added = [d for d in level.block if d.name == "add_header" and d.argument.lower() == "content-type"]
            for header in added:
                header.said("the type of the answer")
            kind = added[0].arguments[1] if added and len(added[0].arguments) > 1 else level.value("default_type")
        if kind:
            answer["headers"] = {"content-type": kind}
    route.settings = {"respond": answer}
    return True


def _redirect(directive: Directive, route: Route, status: int, text: str, expression: str) -> bool:
    text = re.sub(r"^(?:https?|\$scheme)://\$(?:http_)?host(?=/)", "", text)  # where the client is already
    if text.startswith("$scheme://"):
        text = "https" + text.removeprefix("$scheme")
        directive.differs("it leads to https, where clients are: TLS ends in front of the gateway")
    match = _WHERE.fullmatch(text)
    try:
        if match is None:
            raise Unsayable("it is made of variables")
        route.paths = [replace(path, rewrite=_led_to(match, path, expression)) for path in route.paths]
    except Unsayable as why:
        directive.unsaid(f"its target cannot be translated ({why}); write it as `redirect` of a route, with its host")
        return False
    origin = f"{match[1]}://{match[2]}" if match[1] else ""
    redirect: Settings = {"to": origin, "status": status if status != 303 else 302}
    if not match[4] and "$" not in (match[3] or ""):
        redirect["keep_query"] = False
    route.settings = {"redirect": redirect}
    return True


def _led_to(match: re.Match[str], path: Path, expression: str) -> str:
    before = match[3] or ""
    if match[4]:
        return before.rstrip("/") + as_it_came(path.pattern)
    if "$" not in before:
        return before or "/"
    if not expression:
        raise Unsayable("it is made of variables")
    return of_groups(expression, path.pattern, before)


def moved(directive: Directive, within: list[Path], name: str, hosts: tuple[str, ...]) -> Route:
    """The route of a `rewrite` that leads clients elsewhere: of the paths of `within`, those that it fits. Raises
    Unsayable."""
    expression, replacement, *flags = directive.arguments
    paths = []
    for pattern in patterns_of(expression, anywhere=True).patterns:
        for path in within:
            common = intersection(pattern, path.pattern)
            if common is not None and common != pattern:
                raise Unsayable("it fits more than its location; write it as a route with `redirect`")
            if common is not None:
                paths.append(Path(common, (*path.rank[:-1], path.rank[-1] - 0.5)))
    route = Route(identifier(name), directive.place, paths, hosts=hosts)
    if not paths or not _redirect(directive, route, 301 if "permanent" in flags else 302, replacement, expression):
        raise Unsayable("it fits no path of its location")
    route.settings["redirect"].pop("keep_query", None)
    directive.said(f"route {route.name}")
    return route

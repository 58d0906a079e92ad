"""docs/configuration.md, made of the models: `python -m gateway.config.reference > docs/configuration.md`."""

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from gateway.config.layout import format_level, levels
from gateway.config.models import FILES, Model
from gateway.config.models.base import keys_of
from gateway.config.values.quantities import Kind

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

_PROSE = """\
<!-- Made by `python -m gateway.config.reference > docs/configuration.md`: change gateway/config/, not this file. -->

# Configuration

Three YAML files in one directory say what the gateway does: `routes.yaml` (which requests go where),
`middleware.yaml` (limits, timeouts, logs) and `auth.yaml` (who is believed). Only `routes.yaml` is required; the
others, and every key that is not required, have defaults. The directory is the one of `--config DIR`, else of the
environment variable `GATEWAY_CONFIG`, else the current one. This is a whole `routes.yaml`:

```yaml
<sample>```

`GET /v1/process-design/7` goes to `process-design:9003` as `GET /api/v1/processes/7`. A bare list of routes, without
`routes:`, is the same.

`gateway check` reads the files and tells every error of all of them at once, each with its place and what to do:

```text
routes.yaml:4:3: routes[0].rewrit: unknown key, did you mean "rewrite"?
```

The gateway takes up changed files while it runs. Files with an error change nothing: the last good configuration
goes on. `gateway schema` prints JSON Schemas, with which an editor completes and checks the files.

## Which route wins

Of the routes that fit a request, the most specific one takes it:

1. A route for exactly the request's host, then one for a wildcard host (`*.api.example.com` before `*.example.com`),
   then one for every host. When no path of the more specific host fits, the less specific one is asked.
2. Paths are compared segment by segment, from the left: a literal segment, then a segment with literal parts
   (`v{version}`, `*.png`), then `{name}` or `*` for a whole segment, then a `*` at the end.
3. With the same path, the route with more conditions: `methods`, each of `headers` and each of `query` count one.
4. A path as it is declared, then one that only fits a rewritten form (`accept_rewritten`).
5. The one that is first in the file.

`gateway explain GET /v1/users/7` shows which route wins and why each of the others does not. A request that no route
fits is answered 404, and 405 with `Allow` when only its method is wrong.

## Paths

What a path is compared with (the `path` of routes, `path` in conditions, entries of the blocklist) meets every way to
write it. In the form in which paths are compared, each octet that may stand in a segment as it is (letters, digits and
``-._~!$&'()*+,;=:@``) is decoded, every other one is an escape in upper case (`%25`, `%2F`, `%20`, `%C3`); several
slashes are one, and dot segments are resolved. So `/v1/users%3Adelete` is `/v1/users:delete`, and `//v1/./a/../users`
is `/v1/users`. A literal in a file may be written either way. What has no safe form is a 400: `%00`, `%zz`, `/..;/`,
`/..%2f`; `%2F` and `%5C` are one, too, unless the route has `allow_encoded_slashes`.

What is sent keeps its slashes and escapes as they came (`merge_slashes: true` sends one slash for several), also in
what a rewrite takes over. Dot segments are always resolved, those behind several slashes as if these were one: object
keys such as `a/../b` do not get through. A `?` at the end stays, and so does the query, octet by octet.

Routes, conditions, policies of your own and logs see one `path`, that of the route: without `base_path`, and before it
is rewritten, also where the client sent it rewritten already. What the client sent is `original_path` beside it. A
`path` entry of the blocklist meets either of them; a signature is over what the client sent.

## Values from outside

In every value (not in keys), these are replaced when the files are read:

| written | replaced by |
|---|---|
| `${NAME}` | the environment variable; an error when it is not set |
| `${NAME:-default}` | the environment variable, or `default` when it is not set or empty |
| `${file:/run/secrets/x}` | the content of the file, without the newline at its end |
| `$${` | `${` itself |

Files are UTF-8 and at most 64 KiB; a relative path begins at the configuration directory. `$1` and `$2` in a rewrite
are not touched. What comes from outside can change one value and never the structure of a file. A value that is
nothing but one `${...}`, without quotes, may be a number or true or false: `weight: ${WEIGHT}`. Errors name the
variable or file, and never show what came from it. Within `[...]` and `{...}` of YAML, put `${...}` in quotes.

## YAML

The files are UTF-8 without a byte order mark, at most 16 MiB, nested at most 50 levels deep, each one document of at
most 2,000,000 values. As in YAML 1.2, only `true`, `false`, `null` (also as `True`, `TRUE` and so on), `~` and numbers
(`10`, `1.5`, `1e3`, `0x1F`, `0o17`) are not text: `on`, `yes`, `1:30`, `0777`, `1_000` and dates are. A key that is
there twice is an error, as are tags (`!name`) and keys that are not text. Aliases (`*name`) and merge keys
(`<<: *name`) work. A group of keys may be left empty, and has its defaults then; any other key must have a value.

## What backends are told

| header | what it says |
|---|---|
| `X-Forwarded-For`, `Forwarded` | the hops that `trusted_proxies` wrote down, and the peer |
| `X-Forwarded-Proto`, `-Host`, `-Port` | scheme, host and port that the client asked for |
| `X-Forwarded-Prefix` | what stands before the path that is sent, where a prefix was taken off |
| `X-Real-IP` | the client's address: the nearest that is none of `trusted_proxies` |
| `X-Request-Id`, `Via` | the id of the request; that it passed here |

What a trusted proxy says of scheme and host is taken from the element of `Forwarded` that gives the client's address;
where the address is from `X-Forwarded-For`, from the same place, counted from the right, in `X-Forwarded-Proto`,
`-Host` and `-Port`. One value there is the client's, however many hops there are. `wss` is https, `ws` is http, and
where nothing fits, the connection's own scheme counts. `Host` stays what it is: routes are matched by it.

From anybody else, all of this is dropped, and so are other headers by which frameworks learn from proxies where a
request came from: `X-Forwarded-*`, `X-Original-*`, `X-Rewrite-*`, `X-Script-Name`, `X-Url-Scheme`, `Front-End-Https`,
`X-HTTP-Method-Override`, `X-Client-IP`, `True-Client-IP`, `CF-Connecting-IP`, `Client-Cert`, `X-SSL-*`, `Remote-User`,
`X-Accel-*`, `X-Sendfile-Type` and their like. A route may still match them. `limits.allowed_proxy_headers` names those
that your clients are meant to send. Names with an underscore or a dot are dropped from everybody, because backends in
the manner of CGI do not tell them from a hyphen; `limits.underscore_headers: pass` keeps those with an underscore that
could not pass for one of the gateway's own. The same holds for trailers and WebSockets.

`headers.NAME.request` (middleware.yaml) may set or remove `X-Forwarded-Port` and `X-Forwarded-Prefix`.

## Conditions

`when` of `authorize` is a condition over the request and its caller, checked when the files are read:

```yaml
authorize:
- scopes: [orders:write]
  methods: [POST, PUT]
- when: >-
    ("gold" in groups or claims.level >= 3) and time.weekday not in ["saturday", "sunday"]
    and client in ["10.0.0.0/8", "192.168.0.0/16"]
```

| name | what it is |
|---|---|
| `consumer`, `tenant` | texts; `groups`, `scopes`: lists of texts |
| `claims.level`, `claims.place.country`, `claims["https://example.com/team"]` | of the caller's token: any JSON |
| `method` | `"GET"` |
| `path` | `"/v1/orders"`: in the form of the route, as paths are compared (see [Paths](#paths)) |
| `original_path` | text; the path as the client sent it |
| `headers["x-team"]`, `headers.host` | text; the lines of a list are one, with `, ` between them |
| `query.page` | text, decoded |
| `client` | the client's address, as far as `trusted_proxies` vouch for it |
| `time.hour`, `time.minute`, `time.weekday`, `time.date` | numbers, `"monday"`, `"2026-12-31"`; see `timezone` |

These are compared by `==`, `!=`, `<`, `<=`, `>`, `>=` (numbers and dates), `in` and `not in` (`"gold" in groups`,
`method in ["GET", "HEAD"]`, `"level" in claims`, `client in "10.0.0.0/8"`), `.startswith("...")`, `.endswith("...")`
and `.matches("...")`, and joined by `and`, `or`, `not` and parentheses. A text stands in single or double quotes,
without escapes.

`matches`, and `regex` in predicates of routes, compare the whole text with a regular expression. There are characters,
`.`, `[a-z]`, `[^a-z]`, `\\d` `\\w` `\\s` and their opposites (ASCII), `( )`, `(?: )`, `|`, `* + ?`, `{2}`,
`{2,}`, `{2,5}`, and `(?i)` in front: no references back, no looking around, no lazy quantifiers. So the cost grows with
the length of the text and not faster. A text of more than 8192 characters is refused (400, or 403 by `authorize`).

A header or query parameter that a condition reads and that is there more than once is a 400, before authentication,
because the backend might take another of its values. So it is for predicates of routes, for the keys of limits and
quotas, and for `Origin` where `cors` looks at it. Headers that are lists by their specification (`Accept`, `Cookie`,
`X-Forwarded-For` and so on: `SEPARATORS` in [fields.py](../gateway/http/fields.py) has all of them) may come in several
lines, which are read as one. `"x-team" in headers`, and predicates with `present`, do not read the value.

A comparison with something that is not there, or that is of another type (`claims.level >= 3` where `level` is a
text), is false; also with `!=` and `not in`. `not` turns that around: `not (claims.suspended == true)` holds for a
token without this claim.

## Durations and sizes

A duration is a number with `ms`, `s`, `m` or `h` (`250ms`, `5s`, `1.5m`), or a number of seconds; at most 366 days.
A size is a number with `B`, `KB`, `MB`, `GB` (powers of 1000) or `KiB`, `MiB`, `GiB` (powers of 1024), or a number of
bytes. Both are more than 0, unless the table says otherwise.
"""

_WHOLE: Mapping[type, str] = {bool: "true or false", int: "whole number", str: "text", float: "number"}
_SIZES = (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024), ("B", 1))


def render() -> str:
    """The whole document, as Markdown."""
    return "\n".join([_PROSE.replace("<sample>", SAMPLE), *(part for file in FILES for part in _file(file))])


def _file(file: str) -> list[str]:
    places: dict[type[Model], list[str]] = {}
    for level, model in levels(file).items():
        places.setdefault(model, []).append(format_level(level))
    parts = []
    for model, names in places.items():
        title = f"## {file}" if names == [""] else "### " + ", ".join(f"`{name}`" for name in names)
        parts.append("\n".join([title, "", _sentence(model), "", *_table(model), ""]))
    return parts


def _sentence(model: type[Model]) -> str:
    return " ".join((model.__doc__ or "").split())


def _table(model: type[Model]) -> list[str]:
    rows = ["| key | type | default | what it is |", "|---|---|---|---|"]
    for name, field in keys_of(model).items():
        cells = (f"`{name}`", _type(field), _default(field), field.description or "")
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return rows


def _type(field: FieldInfo) -> str:
    kind = _kind(field.metadata)
    name = kind or _name(field.annotation)
    bounds = [str(getattr(item, side)) for item in field.metadata for side in ("ge", "le") if hasattr(item, side)]
    return f"{name}, {' to '.join(bounds)}" if bounds else name


def _kind(metadata: list[Any] | tuple[Any, ...]) -> str | None:
    return next((item.name for item in reversed(metadata) if isinstance(item, Kind)), None)


def _name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(arguments[1:]) or _name(arguments[0])
    if origin in (Union, UnionType):
        return " or ".join(_name(argument) for argument in arguments if argument is not type(None))
    if origin is Literal:
        return " or ".join(f"`{argument}`" for argument in arguments)
    if origin is tuple:
        return f"list of {_name(arguments[0])}"
    if origin is dict:
        return f"{_name(arguments[1])}, for each {_name(arguments[0])}"
    return _WHOLE.get(annotation, "keys below")


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
    if kind == "size":
        return next(f"{value // size}{unit}" for unit, size in _SIZES if value % size == 0)
    return str(value)


if __name__ == "__main__":
    print(render(), end="")

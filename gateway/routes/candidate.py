"""A rule in one of the forms in which a path can reach it, ready to be asked and to answer."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Generic, NamedTuple, TypeVar

from gateway.errors import GatewayError
from gateway.http.hosts import normalise_host
from gateway.http.paths import merge_slashes
from gateway.routes.conditions import Asked, Requirement, requirements_of
from gateway.routes.pattern import Pattern, parse, split
from gateway.routes.rewrite import (
    Cut,
    Reader,
    Sender,
    Template,
    invert_rewritten,
    invert_stripped,
    is_invertible,
    parse_prefix,
    parse_template,
    reader,
    reads_captures,
    rewritten_pattern,
    send_as_matched,
    send_rewritten,
    send_stripped,
    stripped_pattern,
)
from gateway.routes.rule import Form, Match, Rule, answered_methods
from gateway.routes.spelling import spell
from gateway.routes.wildcards import PatternError

T = TypeVar("T")

_RANK: dict[Form, int] = {"declared": 0, "base_path": 1, "rewritten": 2}

OwnPath = Callable[[str], str | None]
"""The path of the declared form for one in another form. None: there is none."""


class Shape(NamedTuple):
    """One form of a rule: what fits it, how it is sent, and how its paths become those of the declared form.

    `reads`: whether `send` needs what the wildcards took. `own`: None where the path is its own. `template`: the
    rewrite, where there is one to be done; `lead`: what is put in front of what is sent. `path`: which of the rule's it
    is a form of.
    """

    form: Form
    pattern: Pattern
    send: Sender
    reads: bool = False
    own: OwnPath | None = None
    template: Template | None = None
    lead: str = ""
    path: str = ""


class Candidate(Generic[T]):
    """One rule in one form. `order` is the place of the rule in the file, `hosts` and `methods` are as compared.

    `read` is None where neither `send` nor a parameter needs what the wildcards took. `named` has the name of each
    parameter, and which wildcard it is.
    """

    def __init__(
        self,
        rule: Rule,
        value: T,
        order: int,
        hosts: tuple[str, ...],
        methods: frozenset[str] | None,
        conditions: tuple[Requirement, ...],
        shape: Shape,
        read: Reader | None,
        named: tuple[tuple[str, int], ...],
    ) -> None:
        self.rule = rule
        self.value = value
        self.order = order
        self.hosts = hosts
        self.methods = methods
        self.conditions = conditions
        self.shape = shape
        self.form = shape.form
        self.pattern = shape.pattern
        self.send = shape.send
        self.own = shape.own
        self.read = read
        self.named = named
        plain = shape.own is None and not named
        # Where all that there is to `build` is a slice of the path, as it mostly is: which.
        self.cut = shape.send if plain and isinstance(shape.send, Cut) else None

    def build(self, path: str, segments: Sequence[str], pieces: tuple[str, ...] = ()) -> Match[T] | None:
        """Make the answer to a path that fits, given with its segments; None if no safe path can be made of it.

        `pieces` are how the client spelled it, where that differs.
        """
        taken = () if self.read is None else self.read(path, segments)
        sent = self.send(path, taken)
        if sent is None:
            return None
        own: str | None = path
        if self.own is not None:
            own = self.own(path)
            if own is None:
                return None
        if pieces:
            shape = self.shape
            spelled = spell(path, pieces, sent, self.pattern, shape.template, shape.lead)
            sent = merge_slashes(spelled) if self.rule.merge_slashes else spelled
        parameters = {}
        for name, number in self.named:
            parameters[name] = taken[number]
        # What Match(...) does, without the call in between: 0.1 us of every request.
        return tuple.__new__(Match, (self.rule, self.value, sent, parameters, self.form, own))

    @property
    def weight(self) -> int:
        """How many predicates the rule has."""
        return len(self.conditions) + (self.methods is not None)

    @property
    def precedence(self) -> tuple[int, int, int]:
        """Sorts candidates of the same hosts and the same path: the lower goes first."""
        return -self.weight, _RANK[self.form], self.order

    def refusal(self, method: str, path: str, asked: Asked) -> str | None:
        """The reason why a request whose host and path match is not taken, None if it is."""
        for condition in self.conditions:
            try:
                if not condition.holds(asked):
                    return condition.reason(asked)
            except GatewayError as error:
                return error.detail
        if self.methods is not None and method not in self.methods:
            return f"method {method} is not among {', '.join(sorted(self.methods)) or 'none'}"
        if self.build(path, path.split("/")) is None:
            if self.form == "rewritten":
                return "no path of the route is rewritten to this one"
            return "the captures of the wildcards would make a dot segment in the rewritten path"
        return None


def candidates_of(rule: Rule, value: T, order: int, base: str, accept_rewritten: bool) -> Iterator[Candidate[T]]:
    """Compile the forms of a rule, path by path. Raises `PatternError`."""
    hosts = tuple([_host(host) for host in rule.hosts])
    methods, conditions = answered_methods(rule), requirements_of(rule)
    for shape in chain.from_iterable(_shapes(rule, path, base, accept_rewritten) for path in rule.paths):
        named = tuple([(name, number) for number, name in enumerate(shape.pattern.names) if name is not None])
        read = reader(shape.pattern) if shape.reads or named else None
        yield Candidate(rule, value, order, hosts, methods, conditions, shape, read, named)


def _host(host: str) -> str:
    normal = normalise_host(host)
    if not normal:
        raise PatternError(f'host "{host}" has no name in it; leave it out for any host')
    return normal


def _shapes(rule: Rule, path: str, base: str, accept_rewritten: bool) -> Iterator[Shape]:
    declared = parse(path)
    template = None if rule.rewrite is None else parse_template(rule.rewrite, declared)
    prefix = parse_prefix("strip_prefix", rule.strip_prefix or "")
    reads = template is not None and reads_captures(template, declared)
    send = _sender(template, prefix, declared, "")
    yield Shape("declared", declared, send, reads, template=template, path=path)
    own = _without(base)
    for pattern in _under(base, declared):
        # What wildcards take is the same under the base path, and compiling their rewrite is not cheap.
        sender, lead = send if reads else _sender(template, prefix, pattern, base), ""
        if rule.redirect == "here":
            sender, lead = _behind(base, sender), base
        yield Shape("base_path", pattern, sender, reads, own, template, lead, path)
    if accept_rewritten and rule.redirect is None:
        yield from _rewritten_shapes(declared, template, prefix, base)


def _rewritten_shapes(declared: Pattern, template: Template | None, prefix: str, base: str) -> Iterator[Shape]:
    if template and not is_invertible(template, declared):
        return
    rewritten = rewritten_pattern(template, declared) if template else stripped_pattern(prefix, declared)
    if rewritten is None:
        return
    invert = invert_rewritten(template, declared, rewritten) if template else invert_stripped(prefix, declared)
    yield Shape("rewritten", rewritten, send_as_matched(""), own=invert, path=declared.source)
    for pattern in _under(base, rewritten):
        yield Shape("rewritten", pattern, send_as_matched(base), own=_without(base, invert), path=declared.source)


def is_one_way(rule: Rule, path: str) -> bool:
    """Whether what the rule makes of a path of its own is not accepted, because the rewrite cannot be inverted."""
    if rule.rewrite is None or rule.redirect is not None:
        return False
    declared = parse(path)
    template = parse_template(rule.rewrite, declared)
    return not is_invertible(template, declared) and rewritten_pattern(template, declared) is not None


def _without(base: str, then: OwnPath | None = None) -> OwnPath:
    start = len(base)
    if then is None:
        return lambda path: path[start:] or "/"
    return lambda path: then(path[start:] or "/")


def _sender(template: Template | None, prefix: str, pattern: Pattern, base: str) -> Sender:
    if template is not None:
        return send_rewritten(template, pattern)
    return send_stripped(prefix, base) if prefix else send_as_matched(base)


def _behind(base: str, send: Sender) -> Sender:
    def send_behind(path: str, taken: Sequence[str]) -> str | None:
        sent = send(path, taken)
        return None if sent is None else base + sent

    return send_behind


def _under(base: str, pattern: Pattern) -> Iterator[Pattern]:
    """Put the base path in front of a pattern. The base path alone is the root of what is below it."""
    if base:
        segments = split(base)
        yield Pattern(base + pattern.source, segments + pattern.segments, pattern.rest, pattern.names)
        if pattern.literal == "/":
            yield Pattern(base, segments, False, ())

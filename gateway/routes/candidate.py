"""A rule in one of the forms in which a path can reach it, ready to be asked and to answer."""

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from gateway.errors import GatewayError
from gateway.routes.conditions import Asked, Condition, conditions_of
from gateway.routes.hosts import normalise_host
from gateway.routes.pattern import Pattern, PatternError, parse, split
from gateway.routes.rewrite import (
    Reader,
    Sender,
    Template,
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

T = TypeVar("T")

_RANK: dict[Form, int] = {"declared": 0, "base_path": 1, "rewritten": 2}


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
        conditions: tuple[Condition, ...],
        form: Form,
        pattern: Pattern,
        send: Sender,
        read: Reader | None,
        named: tuple[tuple[str, int], ...],
    ) -> None:
        self.rule = rule
        self.value = value
        self.order = order
        self.hosts = hosts
        self.methods = methods
        self.conditions = conditions
        self.form = form
        self.pattern = pattern
        self.send = send
        self.read = read
        self.named = named

    def build(self, path: str, segments: Sequence[str]) -> Match[T] | None:
        """Make the answer to a path that fits, given with its segments; None if no safe path can be made of it."""
        taken = () if self.read is None else self.read(path, segments)
        sent = self.send(path, taken)
        if sent is None:
            return None
        parameters = {}
        for name, number in self.named:
            parameters[name] = taken[number]
        # What Match(...) does, without the call in between: 0.1 us of every request.
        return tuple.__new__(Match, (self.rule, self.value, sent, parameters, self.form))

    @property
    def weight(self) -> int:
        """How many predicates the rule has."""
        return len(self.conditions) + (self.methods is not None)

    @property
    def precedence(self) -> tuple[int, int, int]:
        """Sorts candidates of the same hosts and the same path: the lower goes first."""
        return -self.weight, _RANK[self.form], self.order

    def refusal(self, method: str, path: str, asked: Asked) -> str | None:
        """Say why a request whose host and path fit is not taken, None if it is."""
        for condition in self.conditions:
            try:
                if not condition.holds(asked):
                    return condition.reason(asked)
            except GatewayError as error:
                return error.detail
        if self.methods is not None and method not in self.methods:
            return f"method {method} is not among {', '.join(sorted(self.methods)) or 'none'}"
        if self.build(path, path.split("/")) is None:
            return "what the wildcards took would make a dot segment in the rewritten path"
        return None


def candidates_of(rule: Rule, value: T, order: int, base: str, accept_rewritten: bool) -> Iterator[Candidate[T]]:
    """Compile the forms of a rule. Raises `PatternError`."""
    hosts = tuple([_host(host) for host in rule.hosts])
    methods, conditions = answered_methods(rule), conditions_of(rule)
    for form, pattern, send, reads in _forms(rule, base, accept_rewritten):
        named = tuple([(name, number) for number, name in enumerate(pattern.names) if name is not None])
        read = reader(pattern) if reads or named else None
        yield Candidate(rule, value, order, hosts, methods, conditions, form, pattern, send, read, named)


def _host(host: str) -> str:
    normal = normalise_host(host)
    if not normal:
        raise PatternError(f'host "{host}" has no name in it; leave it out for any host')
    return normal


def _forms(rule: Rule, base: str, accept_rewritten: bool) -> Iterator[tuple[Form, Pattern, Sender, bool]]:
    """Give each form with its pattern, how its paths are sent, and whether that needs what the wildcards took."""
    declared = parse(rule.path)
    template = None if rule.rewrite is None else parse_template(rule.rewrite, declared)
    prefix = parse_prefix("strip_prefix", rule.strip_prefix or "")
    reads = template is not None and reads_captures(template, declared)
    send = _sender(template, prefix, declared, "")
    yield "declared", declared, send, reads
    for pattern in _under(base, declared):
        # What wildcards take is the same under the base path, and compiling their rewrite is not cheap.
        sender = send if reads else _sender(template, prefix, pattern, base)
        yield "base_path", pattern, _behind(base, sender) if rule.redirect == "here" else sender, reads
    if accept_rewritten and rule.redirect is None:
        rewritten = rewritten_pattern(template, declared) if template else stripped_pattern(prefix, declared)
        if rewritten is not None:
            yield "rewritten", rewritten, send_as_matched(""), False
            for pattern in _under(base, rewritten):
                yield "rewritten", pattern, send_as_matched(base), False


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

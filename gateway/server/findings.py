"""Findings about the gateway's own state for alerts: breakers, endpoints, sources, quotas, certificates, keys, logs.

What lives is read as it is, a little at a time; nothing is asked for.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from gateway.algorithms.circuit_breaker import State
from gateway.auth.metrics import FetchedKeys
from gateway.config.models import Configuration
from gateway.config.values.instants import format_instant
from gateway.live import on_thread
from gateway.managed.gateway import ManagedGateway
from gateway.monitor.access_log import AccessLog
from gateway.monitor.alerts.sight import Finding, Subject
from gateway.monitor.alerts.wording import length, number
from gateway.monitor.audit_log import AuditLog
from gateway.monitor.process_log import ProcessLog
from gateway.plurals import counted
from gateway.registry.discovery import Discovery
from gateway.reload import Reloader
from gateway.upstream.breaker import Breaker
from gateway.upstream.certificate_ends import EXPIRING_SECONDS, of_authorities, of_own
from gateway.upstream.service import Upstream

EXPIRED_SECONDS: Final = 86400.0  # after its end, until which it is
ISSUER_SHARE: Final = 0.25  # of the time that fetched keys hold: what is left of it when it is a finding
LOSS_SECONDS: Final = 300.0  # for which a loss of log lines is a finding
STEP: Final = 100  # endpoints or keys

Found = Iterator[Finding | None]


class Findings:
    """Asks all that lives. Times are Unix times."""

    def __init__(self, reloader: Reloader) -> None:
        self._reloader = reloader
        self._owner = reloader.owner
        self._lost: dict[str, float] = {}  # lines, by log, as of the last look
        self._lost_at: dict[str, tuple[float, float]] = {}  # when lines were lost last, and how many in all
        self._files: Mapping[str, float] = {}  # the ends of certificates that files have
        self._finders: Mapping[str, Callable[[float], Found]] = {
            "breaker_open": self._breakers,
            "endpoint_ejected": self._endpoints,
            "source_stale": self._sources,
            "quota_80": lambda now: self._quotas("quota_80", 0.8, 1.0),
            "quota_100": lambda now: self._quotas("quota_100", 1.0, math.inf),
            "certificate_expiring": self._certificates,
            "key_expiring": self._keys,
            "reload_refused": self._reloads,
            "log_loss": self._logs,
            "control_plane_lost": self._control_plane,
            "revision_refused": self._revision,
        }

    def of(self, builtins: Iterable[str], now: float) -> Found:
        """The current findings of these."""
        for name in builtins:
            yield from self._finders[name](now)

    async def read_certificates(self, configuration: Configuration) -> None:
        """Look when the certificates end that the files name; on a thread."""
        settings = [service.tls for service in configuration.routes.services.values()]
        names = {tls.ca for tls in settings if tls.ca}
        own = {tls.certificate_file for tls in settings if tls.certificate_file}
        base = configuration.base
        self._files = await on_thread(
            "certificates", lambda: {**dict(of_authorities(base, names)), **dict(of_own(base, own))}
        )

    def _breakers(self, now: float) -> Found:
        at = time.perf_counter()
        for breaker in self._owner.all(Breaker):
            report = breaker.circuit.report(at)
            if report.state in (State.OPEN, State.HALF_OPEN, State.FORCED_OPEN) and not report.waiting:
                yield Finding("breaker_open", Subject("breaker", f"{breaker.route} -> {breaker.target}"), report.reason)
            yield None

    def _endpoints(self, now: float) -> Found:
        at = time.perf_counter()
        for upstream in self._owner.all(Upstream):
            for index, endpoint in enumerate(upstream.endpoints):
                out = endpoint.health.out(at)
                if out is not None and not endpoint.health.awaits_check(at):
                    signal, verdict = out
                    subject = Subject("endpoint", f"{upstream.name}/{endpoint.label}")
                    yield Finding("endpoint_ejected", subject, f"out, {signal.value}: {verdict.reason}")
                elif index % STEP == 0:
                    yield None

    def _sources(self, now: float) -> Found:
        for each in self._owner.all(Discovery):
            if each.lost:
                yield Finding("source_stale", Subject("upstream", each.upstream.name), each.why_none())
            yield None

    def _quotas(self, name: str, at_least: float, below: float) -> Found:
        snapshot = self._reloader.current
        for quota in () if snapshot is None else snapshot.quotas:
            for key, (used, limit) in list(quota.ledger.near.items()):
                if at_least * limit <= used < below * limit:
                    # `=` and `@` begin the keys of callers who are known, and of addresses.
                    subject = Subject("quota", f"{quota.name} {key.lstrip('=@')}")
                    says = f"{number(used)} of {number(limit)} are used in this {quota.config.window}"
                    yield Finding(name, subject, says)
            yield None
        money = None if snapshot is None else snapshot.money
        for budget in () if money is None else money.budgets.budgets:
            for window in budget.limits:
                for key, (used, limit) in list(window.ledger.near.items()):
                    if at_least * limit <= used < below * limit:
                        says = f"{window.shown(used)} of {window.shown(limit)} per {window.window} are used"
                        yield Finding(name, Subject("quota", f"{budget.name} {key.lstrip('=@')}"), says)
            yield None

    def _certificates(self, now: float) -> Found:
        for path, ends in self._files.items():
            if _expires(ends, now):
                yield Finding("certificate_expiring", Subject("certificate", path), _end(ends, now))
        for upstream in self._owner.all(Upstream):
            for index, endpoint in enumerate(upstream.endpoints):
                ends = endpoint.connections.certificate_until
                if _expires(ends, now):
                    subject = Subject("certificate", f"{upstream.name}/{endpoint.label}")
                    yield Finding("certificate_expiring", subject, f"that of the endpoint {_end(ends, now)}")
                elif index % STEP == 0:
                    yield None

    def _keys(self, now: float) -> Found:
        snapshot = self._reloader.current
        for index, consumer in enumerate(() if snapshot is None else snapshot.configuration.auth.consumers):
            ends = [key.expires for key in consumer.keys if key.expires is not None and _expires(key.expires, now)]
            if ends:
                says = f"{counted(len(ends), 'API key')} of it, of which the first {_end(min(ends), now)}"
                yield Finding("key_expiring", Subject("consumer", consumer.name), says)
            elif index % STEP == 0:
                yield None
        for issuer in self._owner.all(FetchedKeys):
            age, left = issuer.age, issuer.seconds_left
            if age is not None and left < ISSUER_SHARE * (age + left):
                says = f"its keys could not be fetched for {length(age)}, and hold for {length(max(0.0, left))} more"
                yield Finding("key_expiring", Subject("issuer", issuer.issuer), says)

    def _reloads(self, now: float) -> Found:
        errors = self._reloader.report()["errors"]
        if errors:
            more = f"; {len(errors) - 1} more" if len(errors) > 1 else ""
            yield Finding("reload_refused", Subject("configuration"), f"{errors[0]}{more}")

    def _control_plane(self, now: float) -> Found:
        for each in self._owner.all(ManagedGateway):
            if (lost := each.lost(now)) is not None:
                yield Finding("control_plane_lost", Subject("configuration"), lost)

    def _revision(self, now: float) -> Found:
        for each in self._owner.all(ManagedGateway):
            if (refusal := each.refusal()) is not None:
                yield Finding("revision_refused", Subject("configuration"), refusal)

    def _logs(self, now: float) -> Found:
        for kind, name in ((AccessLog, "access log"), (AuditLog, "audit log"), (ProcessLog, "process log")):
            lost = _lost(self._owner.all(kind))
            if lost > self._lost.get(name, lost):
                self._lost_at[name] = now, lost
            self._lost[name] = lost
            at, total = self._lost_at.get(name, (-math.inf, 0.0))
            if now - at < LOSS_SECONDS:
                yield Finding("log_loss", Subject("log", name), f"lines are lost, {number(total)} since the start")


def _lost(logs: Iterable[AccessLog | AuditLog | ProcessLog]) -> float:
    return sum(value for log in logs for name, value in log.measures().items() if name.endswith("_lost_total"))


def _expires(ends: float, now: float) -> bool:
    return -EXPIRED_SECONDS < ends - now < EXPIRING_SECONDS


def _end(ends: float, now: float) -> str:
    """An expiry in words."""
    when = f"in {length(ends - now)}" if ends > now else f"{length(now - ends)} ago"
    return f"{'ends' if ends > now else 'has ended'} {when}, at {format_instant(ends)}"

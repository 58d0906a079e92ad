"""middleware.yaml: which alerts are sent to people, and to whom."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from gateway.config.models.alert_senders import AlertSender, Severity
from gateway.config.models.base import Section
from gateway.config.models.policy import ForRoutes, Named
from gateway.config.values.addresses import HttpUrl
from gateway.config.values.comparisons import DURATION, NUMBER, RATE, SHARE, Unit, parse_comparisons
from gateway.config.values.kinds import Kind, Several, Unset, accepted_by, refuse
from gateway.config.values.quantities import Duration, DurationOrZero, Percent

WINDOWS: Final = (10.0, 60.0, 300.0, 3600.0)
"""Seconds over which the monitor has figures."""

PERCENTILES: Final[Mapping[str, float]] = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
FIGURES: Final[Mapping[str, Unit]] = {
    "error_rate": SHARE,
    **dict.fromkeys(PERCENTILES, DURATION),
    "throughput": RATE,
    "requests": NUMBER,
    "errors": NUMBER,
}
"""Names that `when` compares, of one subject over one window."""
OF_REQUESTS: Final[Mapping[str, Unit]] = {"status": NUMBER, "duration": DURATION}
"""Names that `good` compares, of one request."""

KINDS: Final = ("when", "objective", "anomaly", "absent")
SEVERITY: Final = "ticket"
BUILTIN_SEVERITIES: Final[Mapping[str, str]] = {
    "breaker_open": "page",
    "quota_80": "info",
    "log_loss": "page",
    "gateway_error": "page",  # these are of the control plane
    "rollout_failed": "page",
}
"""Severities of builtins, if not `ticket`."""

By = Literal["all", "route", "upstream", "endpoint", "tenant"]
Builtin = Literal[
    "breaker_open",
    "endpoint_ejected",
    "source_stale",
    "quota_80",
    "quota_100",
    "certificate_expiring",
    "key_expiring",
    "reload_refused",
    "log_loss",
    "control_plane_lost",
    "revision_refused",
]

When = Annotated[
    str, Kind("comparisons"), accepted_by(lambda text: parse_comparisons(text, FIGURES, "error_rate > 5%"))
]
Good = Annotated[
    str, Kind("comparisons"), accepted_by(lambda text: parse_comparisons(text, OF_REQUESTS, "status < 500"))
]

_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "when": frozenset({"over", "for_", "by", "minimum"}),
    "objective": frozenset({"good", "by", "minimum"}),
    "anomaly": frozenset({"over", "for_", "by"}),
    "absent": frozenset({"for_", "by"}),
}
_OF_ALL: Final = frozenset({"routes", "severity", "runbook"})


def window_of(seconds: float) -> float:
    """The shortest of the windows that there are which is as long as this."""
    return next(window for window in WINDOWS if window >= seconds)


def severity_of_builtin(name: str) -> str:
    """How urgent one of them is."""
    return BUILTIN_SEVERITIES.get(name, SEVERITY)


class AlertRule(ForRoutes):
    """The condition of an alert: exactly one of `when`, `objective`, `anomaly` and `absent`. Each subject (a route,
    an upstream, ...) has an alert of its own."""

    when: Unset[When] = Field(
        None,
        description="Comparisons, joined by `and`: `error_rate > 5%`, `p99 > 800ms` (`p50`, `p90`, `p95`, `p99`, "
        "`p999`), `throughput < 10/s`, `requests`, `errors`.",
        examples=["error_rate > 5% and requests > 100"],
    )
    objective: Unset[Percent] = Field(
        None,
        description="The share of requests that shall be `good`. The alert fires when the error budget of 30 days is "
        "used up too fast: 14.4 times over 1 h and 5 m, or 6 times over 6 h and 30 m (`page`), or once over 3 d and "
        "6 h (`ticket`).",
    )
    anomaly: Unset[Literal["throughput"]] = Field(
        None,
        description="`throughput`: it is far from the median of the last 60 values, in median absolute deviations.",
    )
    absent: Unset[Literal["requests"]] = Field(None, description="`requests`: none came, for as long as `for` says.")
    good: Unset[Good] = Field(
        None,
        description="With `objective`: which requests are good, by `status` and `duration`.",
        examples=["status < 500 and duration < 500ms"],
    )
    over: Annotated[Unset[Duration], Field(le=WINDOWS[-1])] = Field(
        None, description="The time that is looked at: `10s`, `1m`, `5m` or `1h`. Unset: `5m`; of an anomaly `1m`."
    )
    for_: DurationOrZero = Field(0, alias="for", description="How long it must be so without a break.")
    by: Unset[By] = Field(
        None,
        description="The subjects with an alert of their own: each `route`, `upstream`, `endpoint` or `tenant`, or "
        "`all` together. Unset: `route` where `routes` is given, or else `all`.",
    )
    minimum: Unset[Annotated[int, Field(ge=1, le=10**9)]] = Field(
        None,
        description="Requests in the time that is looked at, below which nothing is sent. Unset: 1, where shares "
        "or durations are compared; with `objective` 100 in the longer of both times.",
    )
    severity: Unset[Severity] = Field(
        None, description="How urgent it is; senders may take only some. Unset: `ticket`, and as `objective` says."
    )
    runbook: Unset[HttpUrl] = Field(None, description="URL of a runbook; it is in every message.")

    @property
    def kind(self) -> str:
        """Which of the four it is."""
        return next(key for key in KINDS if getattr(self, key) is not None)

    @property
    def subjects(self) -> By:
        """Subjects with an alert of their own."""
        return self.by or ("route" if "routes" in self.model_fields_set else "all")

    @property
    def severities(self) -> tuple[str, ...]:
        """Those that its alerts can have."""
        if self.severity is None and self.objective is not None:
            return "page", "ticket"
        return (self.severity or SEVERITY,)

    @model_validator(mode="after")
    def _is_one_thing(self) -> "AlertRule":
        given = [key for key in KINDS if getattr(self, key) is not None]
        if len(given) != 1:
            raise refuse(f"exactly one of {', '.join(KINDS)} is needed" + (f", not {len(given)}" if given else ""))
        strange = sorted(self.model_fields_set - _KEYS[given[0]] - _OF_ALL - {given[0]})
        if strange:
            raise refuse(f"{strange[0].rstrip('_')} has no meaning with {given[0]}; remove it")
        return self

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> "AlertRule":
        if self.objective is not None and self.good is None:
            raise refuse('objective needs good: which requests are, such as "status < 500 and duration < 500ms"')
        if self.objective is not None and not 0 < self.objective < 100:
            raise refuse("an objective is more than 0% and less than 100%, or nothing may ever fail: 99.9%, say")
        if self.absent is not None and self.for_ < WINDOWS[0]:
            raise refuse("absent needs for: how long no request comes, at least 10s")
        return self

    @model_validator(mode="after")
    def _has_its_subjects(self) -> "AlertRule":
        if "routes" in self.model_fields_set and self.by not in (None, "route"):
            raise refuse(f"routes is for by: route, not for by: {self.by}; remove one of both")
        if self.objective is not None and self.by not in (None, "all", "route"):
            raise refuse("an objective is by: route, or by: all")
        if self.absent is not None and self.by not in (None, "all", "route", "upstream"):
            raise refuse("absent is by: route, upstream or all: other subjects are not known in advance")
        if self.by == "tenant" and self.when is not None:
            compared = {each.name for each in parse_comparisons(self.when, FIGURES, "")}
            if compared & PERCENTILES.keys():
                raise refuse("durations are not kept by tenant; use by: route, or compare error_rate or throughput")
        return self


class Alerts(Section):
    """Alerts to people: rules over what the monitor measures, what the gateway itself has to say, and where it is
    sent."""

    rules: Named[AlertRule] = Field({}, description="Rules by their names, which messages show.")
    builtin: Several[Builtin] = Field(
        (),
        description="Alerts on the gateway's own state: a breaker is open, an endpoint is out, a source of endpoints "
        "does not answer, a consumer has used 80% or 100% of a quota, a certificate or a key ends within 14 days, "
        "a configuration was refused, log lines are lost, the control plane is not connected, or what it wants is "
        "not served.",
    )
    send: Named[AlertSender] = Field({}, description="Receivers, by names of yours.")
    repeat: Duration = Field(4 * 3600, description="How long until an alert that still fires is sent again.")
    link: Unset[HttpUrl] = Field(
        None,
        description="Where people find the admin port: messages link to it.",
        examples=["https://gateway.example/"],
    )

    @field_validator("builtin")
    @classmethod
    def _once(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise refuse("a name is duplicated; remove one of them")
        if taken := sorted(set(names) & info.data.get("rules", {}).keys()):
            raise refuse("a rule has the name of one of these; rename the rule", f" {taken[0]}")
        return names

    @property
    def anything(self) -> bool:
        """Whether there is anything to watch, or to send."""
        return bool(self.rules or self.builtin or self.send)

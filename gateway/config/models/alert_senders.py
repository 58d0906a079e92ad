"""middleware.yaml: where alerts are sent."""

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from gateway.config.models.base import Section
from gateway.config.values.instants import check_zone
from gateway.config.values.kinds import Kind, SomeOf, Text, TextLike, Unset, accepted_by, refuse

KINDS: Final = ("slack", "webhook", "alertmanager", "smtp")
SMTP_PORTS: Final[Mapping[str, int]] = {"smtp": 587, "smtps": 465}

_DAILY: Final = r"daily at ([01][0-9]|2[0-3]):([0-5][0-9])(?: (\S+))?"

Severity = Annotated[
    str, TextLike("severity", "[a-z][a-z0-9_-]{0,31}", "a severity is a word of small letters, such as page or ticket")
]
Mailbox = Annotated[
    str,
    TextLike(
        "mail address", r"[^\s@<>,;:\"\\\x00-\x1f]{1,64}@[A-Za-z0-9.\-]{1,253}", "expected an address: ops@example.com"
    ),
]


def parse_daily(text: str) -> tuple[int, int, str]:
    """Hour, minute and time zone, of `daily at 09:00` (UTC) or `daily at 09:00 Europe/Berlin`."""
    match = re.fullmatch(_DAILY, text, re.ASCII)
    if match is None:
        raise refuse("expected daily at 09:00, which is UTC, or daily at 09:00 Europe/Berlin")
    return int(match[1]), int(match[2]), check_zone(match[3] or "UTC")


def _refuse_secret(message: str) -> PydanticCustomError:
    """An error that does not show the value."""
    return PydanticCustomError("pointed", "{message}{hint}", {"message": message, "hint": ""})


def _split(url: SecretStr, schemes: tuple[str, ...]) -> SplitResult:
    """The URL in its parts. Raises an error without the URL, which may be a secret."""
    text = url.get_secret_value()
    try:
        parts = urlsplit(text)
        right = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right or not text.isascii() or not text.isprintable() or " " in text or parts.fragment:
        raise _refuse_secret(f"expected a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    return parts


def _check_http(url: SecretStr) -> SecretStr:
    _split(url, ("https", "http"))
    return url


def _check_smtp(url: SecretStr) -> SecretStr:
    parts = _split(url, ("smtp", "smtps"))
    if parts.path not in ("", "/") or parts.query:
        raise _refuse_secret("a mail server is smtp://[user:password@]host[:port], without a path")
    return url


SecretHttpUrl = Annotated[SecretStr, Kind("URL"), AfterValidator(_check_http)]
SecretSmtpUrl = Annotated[SecretStr, Kind("URL"), AfterValidator(_check_smtp)]
DailyAt = Annotated[str, Kind("time of day"), accepted_by(parse_daily)]

_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "slack": frozenset({"summary"}),
    "webhook": frozenset({"summary", "secret", "ca"}),
    "alertmanager": frozenset({"user", "password", "ca"}),
    "smtp": frozenset({"summary", "to", "from_", "user", "password", "starttls", "ca"}),
}


class AlertSender(Section):
    """One receiver of alerts: exactly one of `slack`, `webhook`, `alertmanager` and `smtp`."""

    slack: Unset[SecretHttpUrl] = Field(
        None, description="URL of an incoming webhook of Slack, or of what understands the same: `${SLACK_WEBHOOK}`."
    )
    webhook: Unset[SecretHttpUrl] = Field(None, description="URL that gets JSON by POST.")
    alertmanager: Unset[SecretHttpUrl] = Field(
        None, description="URL of an Alertmanager of Prometheus, which groups, silences and repeats by itself."
    )
    smtp: Unset[SecretSmtpUrl] = Field(
        None,
        description="Mail server: `smtp://[user:password@]host[:587]`, or `smtps://` for TLS from the beginning.",
        examples=["smtp://mail.example:587"],
    )
    secret: Unset[Annotated[SecretStr, Kind("text")]] = Field(
        None, description="With `webhook`: key of the signature of each message (HMAC-SHA-256), see docs/alerts.md."
    )
    to: Unset[SomeOf[Mailbox]] = Field(None, description="With `smtp`: the recipients.")
    from_: Unset[Mailbox] = Field(
        None,
        alias="from",
        description="With `smtp`: the sender. Unset: `gateway@` and the name of this machine.",
    )
    user: Unset[Text] = Field(None, description="User there; for `smtp` it may be in the URL, too.")
    password: Unset[Annotated[SecretStr, Kind("text")]] = Field(None, description="Password there.")
    starttls: Unset[Literal["required", "offered"]] = Field(
        None,
        description="With `smtp://`: whether mail is sent only over TLS, or also where the server offers none; a "
        "password never is. Unset: `required`, but for a server on this machine.",
    )
    ca: Unset[Text] = Field(
        None, description="File of the certificates that it is trusted by. Unset: those that the system trusts."
    )
    severities: Unset[SomeOf[Severity]] = Field(None, description="Alerts of these only. Unset: all.")
    summary: Unset[DailyAt] = Field(
        None,
        description="When a summary of the last 24 hours is sent: `daily at 09:00`, which is UTC, or with a time zone.",
        examples=["daily at 09:00 Europe/Berlin"],
    )

    @property
    def kind(self) -> str:
        """Which of the four it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def url(self) -> str:
        """Where it is, which may be a secret."""
        url: SecretStr = getattr(self, self.kind)
        return url.get_secret_value()

    @property
    def credentials(self) -> tuple[str, str] | None:
        """User and password, of the keys or of the URL."""
        if self.user is not None and self.password is not None:
            return self.user, self.password.get_secret_value()
        parts = urlsplit(self.url)
        return None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))

    def takes(self, severity: str) -> bool:
        """Whether alerts of this severity are for it."""
        return self.severities is None or severity in self.severities

    @model_validator(mode="after")
    def _is_one_thing(self) -> "AlertSender":
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise refuse(f"exactly one of {', '.join(KINDS)} is needed" + (f", not {len(given)}" if given else ""))
        strange = sorted(self.model_fields_set - _KEYS[given[0]] - {given[0], "severities"})
        if strange:
            raise refuse(f"{strange[0].rstrip('_')} has no meaning with {given[0]}; remove it")
        return self

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> "AlertSender":
        if self.smtp is not None and self.to is None:
            raise refuse("smtp needs to: who gets mail, such as to: [ops@example.com]")
        if (self.user is None) != (self.password is None):
            raise refuse("user and password belong together; add the other one")
        if self.secret is not None and not self.secret.get_secret_value():
            raise refuse("the secret is empty; make one with openssl rand -hex 32, or remove the key")
        return self

"""The kinds of senders, by the keys of the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from gateway.config.models.alert_senders import SMTP_PORTS, AlertSender
from gateway.monitor.alerts.senders.alertmanager import Alertmanager
from gateway.monitor.alerts.senders.mail import Mail, MailServer
from gateway.monitor.alerts.senders.sender import Sender
from gateway.monitor.alerts.senders.slack import Slack
from gateway.monitor.alerts.senders.webhook import Webhook


def _slack(config: AlertSender, base: Path) -> Sender:
    return Slack(config.url)


def _webhook(config: AlertSender, base: Path) -> Sender:
    secret = None if config.secret is None else config.secret.get_secret_value().encode()
    return Webhook(config.url, secret, _ca(config, base))


def _alertmanager(config: AlertSender, base: Path) -> Sender:
    return Alertmanager(config.url, _ca(config, base), config.credentials)


def _mail(config: AlertSender, base: Path) -> Sender:
    parts = urlsplit(config.url)
    host = parts.hostname or ""
    starttls = config.starttls == "required" if config.starttls else not _is_here(host)
    server = MailServer(
        host,
        parts.port or SMTP_PORTS[parts.scheme],
        parts.scheme == "smtps",
        starttls,
        _ca(config, base),
        config.credentials,
    )
    return Mail(server, config.from_, config.to or ())


def _ca(config: AlertSender, base: Path) -> Path | None:
    return None if config.ca is None else base / config.ca


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


SENDERS: Final[Mapping[str, Callable[[AlertSender, Path], Sender]]] = {
    "slack": _slack,
    "webhook": _webhook,
    "alertmanager": _alertmanager,
    "smtp": _mail,
}


def sender_of(config: AlertSender, base: Path) -> Sender:
    """The sender that a configuration asks for. `base`: where the names of files begin."""
    return SENDERS[config.kind](config, base)

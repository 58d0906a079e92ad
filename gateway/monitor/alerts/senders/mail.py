"""Mail, by SMTP: the library of Python, on a thread."""

from __future__ import annotations

import smtplib
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from pathlib import Path
from typing import Final

from gateway.events import ApiAlert
from gateway.live import on_thread
from gateway.monitor.alerts.notices import Notice
from gateway.monitor.alerts.senders.sender import CALL_SECONDS, STEP_SECONDS, NotSent

SHOWN: Final = 100  # alerts
MOST_SUBJECT: Final = 200  # characters


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is given to, and how."""

    host: str
    port: int
    tls: bool  # from the beginning
    starttls: bool  # mail is sent only over TLS
    ca: Path | None
    credentials: tuple[str, str] | None


class Mail:
    """Some people, by one server."""

    def __init__(self, server: MailServer, sender: str | None, to: tuple[str, ...]) -> None:
        self._server = server
        self._sender = sender
        self._to = to

    async def send(self, notice: Notice) -> None:
        """See `Sender`."""
        try:
            await on_thread("mail", lambda: _send(self._server, self._sender, self._to, notice), CALL_SECONDS)
        except TimeoutError:
            raise NotSent(f"no answer within {CALL_SECONDS:g} s") from None
        except smtplib.SMTPResponseException as error:
            raise NotSent(f"it answers {error.smtp_code}", hopeless=error.smtp_code in (552, 554)) from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = ", ".join(sorted({str(code) for code, _ in error.recipients.values()}))
            raise NotSent(f"it takes mail for none of the recipients ({codes})") from None
        except smtplib.SMTPException as error:
            raise NotSent(type(error).__name__) from None
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
            raise NotSent(f"no connection: {reason}") from None

    async def close(self) -> None:
        """See `Sender`: there are none."""


def _send(server: MailServer, sender: str | None, to: tuple[str, ...], notice: Notice) -> None:
    """On a thread. Raises OSError, SMTPException and NotSent."""
    tls = ssl.create_default_context(cafile=server.ca)
    if server.tls:
        client: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=STEP_SECONDS, context=tls)
    else:
        client = smtplib.SMTP(server.host, server.port, timeout=STEP_SECONDS)
    with client:
        client.ehlo()
        encrypted = server.tls
        if not encrypted and client.has_extn("starttls"):
            client.starttls(context=tls)
            client.ehlo()
            encrypted = True
        if not encrypted and server.starttls:
            raise NotSent("it offers no TLS; use smtps://, or starttls: offered where that may be")
        if server.credentials is not None:
            if not encrypted:
                raise NotSent("it offers no TLS, without which no password is sent")
            client.login(*server.credentials)
        client.send_message(mail_of(notice, sender or f"gateway@{socket.getfqdn()}", to))


def mail_of(notice: Notice, sender: str, to: tuple[str, ...]) -> EmailMessage:
    """The notice as a mail in plain text."""
    mail = EmailMessage()
    mail["Subject"] = " ".join(notice.title.split())[:MOST_SUBJECT]
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    mail["Date"] = format_datetime(datetime.fromtimestamp(notice.at, UTC))
    mail["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    mail["Auto-Submitted"] = "auto-generated"
    blocks = [notice.title, *("\n".join(_lines(alert)) for alert in notice.alerts[:SHOWN])]
    more = len(notice.alerts) - SHOWN + notice.left_out
    if notice.alerts and more > 0:
        blocks.append(f"... and {more} more")
    blocks += ["\n".join([heading, *(f"  {line}" for line in lines)]) for heading, lines in notice.sections]
    if notice.link is not None:
        blocks.append(notice.link)
    mail.set_content("\n\n".join(blocks) + "\n")
    return mail


def _lines(alert: ApiAlert) -> list[str]:
    when = f"since {alert.since}" if alert.until is None else f"from {alert.since or '?'} until {alert.until}"
    lines = [f"{alert.alert} ({alert.severity}) {alert.state}: {alert.subject}", f"  {alert.summary}"]
    if alert.since or alert.until:
        lines.append(f"  {when}")
    if alert.runbook is not None:
        lines.append(f"  what to do: {alert.runbook}")
    return lines

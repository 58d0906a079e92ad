"""What a mail server gets."""

import ssl
from pathlib import Path

import pytest

from gateway.config.models.alert_senders import AlertSender
from gateway.monitor.alerts.notices import Notice, notice_of
from gateway.monitor.alerts.senders.mail import Mail, MailServer
from gateway.monitor.alerts.senders.sender import NotSent, Sender
from gateway.monitor.alerts.senders.table import sender_of
from tests.monitor.alerts.receivers import MailReceiver, mail_receiver
from tests.monitor.alerts.support import message
from tests.upstream.test_tls import certificate

NOTICE = Notice("test", "Test")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tls")
    certificate(directory, "ca", "", 30, None)
    certificate(directory, "mail", "IP:127.0.0.1", 30, "ca")
    return directory


def _context(directory: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / "mail.pem", directory / "mail.key")
    return context


def _sender(receiver: MailReceiver, base: Path = Path(), **more: object) -> Sender:
    user = more.pop("at", "")
    fields = {"smtp": f"smtp://{user}127.0.0.1:{receiver.port}", "to": ["ops@example.com", "dev@example.com"], **more}
    return sender_of(AlertSender.model_validate(fields), base)


async def test_a_mail_has_what_a_message_has() -> None:
    """Subject, times, figures, and what to do; for all who are named."""
    alert = message("errors", "route orders", runbook="https://runbooks.example/errors")
    notice = notice_of([alert], [], link="https://gateway.example/#alerts", at=1_800_000_000)
    async with mail_receiver() as receiver:
        await _sender(receiver, Path(), **{"from": "gateway@example.com"}).send(notice)
    (mail,) = receiver.mails
    assert mail["Subject"] == "[page] errors: 1 firing (route orders)"
    assert (mail["From"], mail["To"]) == ("gateway@example.com", "ops@example.com, dev@example.com")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"].endswith("@example.com>")
    text = mail.get_content()
    for part in (alert.summary, "since 2026-11-26T08:00:00Z", "https://runbooks.example/errors", "#alerts"):
        assert part in text


async def test_names_cannot_add_headers() -> None:
    """A line end in a name stays in the subject, as a space."""
    async with mail_receiver() as receiver:
        await _sender(receiver).send(Notice("test", "one\r\nBcc: evil@example.com"))
    (mail,) = receiver.mails
    assert mail["Subject"] == "one Bcc: evil@example.com"
    assert mail["Bcc"] is None


async def test_starttls_is_used_and_the_certificate_looked_at(tls: Path) -> None:
    """Mail goes over TLS where it is offered; a certificate that is not trusted sends nothing."""
    async with mail_receiver(_context(tls)) as receiver:
        await _sender(receiver, tls, ca="ca.pem").send(NOTICE)
        assert receiver.encrypted == [True]
        with pytest.raises(NotSent, match="certificate"):
            await _sender(receiver).send(NOTICE)
        assert len(receiver.mails) == 1


async def test_the_password_is_that_of_the_url_or_of_the_keys(tls: Path) -> None:
    """Both ways log in; a wrong password says so, without it."""
    async with mail_receiver(_context(tls), login=True) as receiver:
        await _sender(receiver, tls, ca="ca.pem", at="jo%40x:right@").send(NOTICE)
        await _sender(receiver, tls, ca="ca.pem", user="ann", password="right").send(NOTICE)
        with pytest.raises(NotSent) as caught:
            await _sender(receiver, tls, ca="ca.pem", user="ann", password="wrong").send(NOTICE)
    assert receiver.users == ["jo@x", "ann"]
    assert str(caught.value) == "it answers 535"


async def test_nothing_is_sent_without_tls_where_that_must_be() -> None:
    """A password never is, and mail not to another machine, unless that is allowed."""
    async with mail_receiver() as receiver:
        with pytest.raises(NotSent, match="without which no password is sent"):
            await _sender(receiver, user="ann", password="right").send(NOTICE)
        with pytest.raises(NotSent, match="it offers no TLS; use smtps://"):
            await _sender(receiver, starttls="required").send(NOTICE)
        assert receiver.mails == []


async def test_a_server_that_is_not_there_is_an_error() -> None:
    """With what the system says of it."""
    mail = Mail(MailServer("127.0.0.1", 1, False, False, None, None), None, ("ops@example.com",))
    with pytest.raises(NotSent, match="no connection: Connection refused"):
        await mail.send(NOTICE)

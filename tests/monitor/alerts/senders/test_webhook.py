"""What a webhook gets."""

import hmac

from gateway.events import ApiAlert
from gateway.monitor.alerts.notices import notice_of
from gateway.monitor.alerts.senders.webhook import Webhook
from tests.monitor.alerts.receivers import http_receiver
from tests.monitor.alerts.support import message


async def test_the_message_is_signed_over_its_time_and_body() -> None:
    """Who has the secret can verify both; the alerts in it are api-alert messages."""
    firing, over = message("errors", "route orders"), message("slow", "route users", state="resolved")
    async with http_receiver() as receiver:
        webhook = Webhook(f"{receiver.url}/alerts", b"0123456789", None, lambda: 1_800_000_000.5)
        await webhook.send(notice_of([firing], [over]))
        await webhook.close()
    (got,) = receiver.got
    signed = got.headers["x-gateway-timestamp"].encode() + b"." + got.body
    assert got.headers["x-gateway-timestamp"] == "1800000000"
    assert got.headers["x-gateway-signature"] == "sha256=" + hmac.new(b"0123456789", signed, "sha256").hexdigest()
    assert got.headers["content-type"] == "application/json"
    assert (got.json["kind"], got.json["firing"], got.json["resolved"]) == ("alerts", 1, 1)
    assert [ApiAlert.model_validate(each) for each in got.json["alerts"]] == [firing, over]


async def test_without_a_secret_there_is_no_signature() -> None:
    """And a message has at most a hundred alerts, with the number of the others."""
    alerts = [message("errors", f"route r{number}") for number in range(300)]
    async with http_receiver() as receiver:
        webhook = Webhook(receiver.url, None, None)
        await webhook.send(notice_of(alerts, [], repeated=True))
        await webhook.close()
    (got,) = receiver.got
    assert "x-gateway-signature" not in got.headers
    assert (len(got.json["alerts"]), got.json["left_out"], got.json["firing"]) == (100, 200, 300)

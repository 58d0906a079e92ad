"""What Slack gets."""

import json

import pytest

from gateway.monitor.alerts.notices import MOST_ALERTS, Notice, notice_of
from gateway.monitor.alerts.senders.sender import NotSent
from gateway.monitor.alerts.senders.slack import Slack, payload
from tests.monitor.alerts.receivers import http_receiver
from tests.monitor.alerts.support import message


async def test_a_message_says_what_where_since_when_figures_link_and_runbook() -> None:
    """All that an on-call engineer needs is in the message, as Block Kit."""
    alert = message(
        "errors", "route orders", summary="error rate 12% (> 5%) of 300 requests in 1m", runbook="https://r/"
    )
    notice = notice_of([alert], [], link="https://gateway.example/#alerts")
    async with http_receiver() as receiver:
        slack = Slack(f"{receiver.url}/services/T/B/x")
        await slack.send(notice)
        await slack.close()
    (got,) = receiver.got
    assert got.path == "/services/T/B/x"
    assert got.json["text"] == "[page] errors: 1 firing (route orders)"
    header, section, context = got.json["blocks"]
    assert header["type"] == "header"
    assert header["text"]["text"] == got.json["text"]
    lines = section["text"]["text"].split("\n")
    assert lines == [
        ":red_circle: *errors* (page) firing: *route orders*",
        "error rate 12% (&gt; 5%) of 300 requests in 1m",
        "since 2026-11-26T08:00:00Z",
        "<https://r/|Runbook>",
    ]
    assert context["elements"][0]["text"] == "<https://gateway.example/#alerts|Open the gateway>"


def test_one_that_is_over_says_from_when_to_when() -> None:
    """A resolved alert has both times."""
    over = message("errors", "route orders", state="resolved", until="2026-11-26T08:05:00Z")
    shown = json.dumps(payload(notice_of([], [over])))
    assert ":large_green_circle:" in shown
    assert "from 2026-11-26T08:00:00Z until 2026-11-26T08:05:00Z" in shown


def test_names_can_neither_call_people_nor_make_links() -> None:
    """What clients or configurations choose is shown as it is."""
    alert = message("errors", "tenant <!channel> & <https://evil|click>")
    shown = json.dumps(payload(notice_of([alert], [])))
    plain_header = json.dumps(payload(Notice("test", "<!channel>"))["blocks"][0])
    assert "plain_text" in plain_header
    assert "&lt;!channel&gt; &amp; &lt;https://evil|click&gt;" in shown
    assert "*tenant <" not in shown


def test_a_thousand_alerts_are_within_the_limits_of_slack() -> None:
    """At most 50 blocks, headers of 150 and sections of 3,000 characters, whatever there is to tell."""
    alerts = [message("errors", f"route {'x' * 290}{number}", summary="y" * 4000) for number in range(1000)]
    notice = notice_of(alerts, [], 7, link="https://g/")
    made = payload(notice)
    assert len(notice.alerts) == MOST_ALERTS
    assert len(made["blocks"]) <= 50
    assert len(made["blocks"][0]["text"]["text"]) <= 150
    assert all(len(each["text"]["text"]) <= 3000 for each in made["blocks"] if each["type"] == "section")
    assert "and 992 more" in json.dumps(made)


@pytest.mark.parametrize(
    ("answer", "wait", "hopeless"),
    [
        ("429 Too Many Requests\r\nRetry-After: 30", 30.0, False),
        ("500 Internal Server Error", 0.0, False),
        ("400 Bad Request", 0.0, True),
        ("302 Found\r\nLocation: http://127.0.0.1:1/", 0.0, False),
    ],
)
async def test_what_is_not_taken_is_an_error_without_the_url(answer: str, wait: float, *, hopeless: bool) -> None:
    """Refusals say which, and when to come again; a redirect is not followed."""
    async with http_receiver(answer) as receiver:
        slack = Slack(f"{receiver.url}/services/secret")
        with pytest.raises(NotSent) as caught:
            await slack.send(Notice("test", "Test"))
        await slack.close()
    assert str(caught.value) == f"it answers {answer[:3]}"
    assert (caught.value.wait, caught.value.hopeless) == (wait, hopeless)


async def test_one_that_is_not_there_is_an_error_without_the_url() -> None:
    """No connection says so, without the path, which is a secret."""
    slack = Slack("http://127.0.0.1:1/services/secret")
    with pytest.raises(NotSent) as caught:
        await slack.send(Notice("test", "Test"))
    await slack.close()
    assert str(caught.value).startswith("no connection")
    assert "secret" not in str(caught.value)

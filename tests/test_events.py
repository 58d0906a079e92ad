"""The messages between the four roles."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from gateway.events import KINDS, AuthRequest, Message

DURATIONS = "/Knx0k1iUD8AAAAAAAAAAMECAQ=="
AS_WRITTEN = {
    "service-registry": '{"service":"user-api","instances":[{"host":"10.0.1.5","port":8080,"health":"passing"}]}',
    "auth-request": '{"request_id":"req-88210","path":"/api/v2/users","api_key":"key_example_4eC39H"}',
    "access-log": '{"request_id":"req-88210","client":"acme-corp","decision":"allow","latency_ms":12}',
    "health-feedback": '{"service":"user-api","instance":"10.0.1.6:8080","status":"failing","error_rate":0.42}',
    "traffic": '{"seconds":1.0,"consumers":{"acme-corp":17},"flows":[{"route":"users","upstream":"user-api",'
    '"counts":[["acme","GET",200,"ok",1]],"durations":"'
    + DURATIONS
    + '"}],"endpoints":[{"service":"user-api","instance":"10.0.1.5:8080","failures":0,"durations":"'
    + DURATIONS
    + '"}]}',
    "request-report": '{"request_id":"req-88210","path":"/api/v2/users","client":"acme-corp","decision":"allow",'
    '"latency_ms":12,"credential":"api_key","fingerprint":"sha256:9ff4153050a91d2e",'
    '"attempts":[["user-api","10.0.1.5:8080",false]]}',
    "agent-registry": '{"prefix":"acme","service":"user-api","by":"acme-discovery",'
    '"instances":[{"host":"10.0.1.5","port":8080,"health":"passing"}]}',
    "agent-standing": '{"hostname":"acme-router","role":"router","state":"connected","problems":[],'
    '"peers":{"acme-auth":"trusted"},"counts":{"refused":{"role":1}}}',
    "api-alert": '{"alert":"errors","state":"firing","severity":"page","subject":"route orders","summary":"many"}',
}
"""As other programs send them."""


@pytest.mark.parametrize("kind", KINDS)
def test_messages_are_read_and_written_as_they_are_documented(kind: str) -> None:
    """What is read of a message is what is written of it, to the byte."""
    message = KINDS[kind].model_validate_json(AS_WRITTEN[kind])
    assert message.model_dump_json() == AS_WRITTEN[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_a_misspelt_member_is_refused(kind: str) -> None:
    """A member that the message does not have is an error, as is one that is missing."""
    fields = json.loads(AS_WRITTEN[kind])
    with pytest.raises(ValidationError, match="not permitted"):
        KINDS[kind].model_validate(fields | {"servise": "user-api"})
    with pytest.raises(ValidationError, match="required"):
        KINDS[kind].model_validate(dict(list(fields.items())[1:]))


def test_a_key_leaves_the_process_as_its_fingerprint_only() -> None:
    """The bus gets the fingerprint that the logs have, whether it is given a key or a fingerprint."""
    message = AuthRequest.model_validate_json(AS_WRITTEN["auth-request"])
    sent: Message = message.for_bus()
    assert "4eC39H" not in sent.model_dump_json()
    assert sent == message.model_copy(update={"api_key": "sha256:9ff4153050a9"})
    assert sent.for_bus() == sent
    assert "4eC39H" not in repr(message)

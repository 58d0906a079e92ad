"""Where the log says that a custom policy has failed."""

from __future__ import annotations

import pytest

from gateway.custom_code import is_library, place_of
from gateway.errors import GatewayError
from gateway.http.testing import make_exchange
from tests.middleware.support import answering, build, chained, context

IN_COMPILED_CODE = """\
SET = compile("def refuse(): raise TypeError('str object expected')", "gateway/http/messages.py", "exec")
names = {}
exec(SET, names)

class P:
    def wrap(self, handler):
        async def answered(exchange):
            return names["refuse"]()
        return answered
"""


async def test_code_of_the_gateway_that_is_compiled_is_not_the_place(caplog: pytest.LogCaptureFixture) -> None:
    """Its frames have file names that are relative; the line of the policy that called it is what the log names."""
    built = context("policies: {mine: {class: 'p.py:P'}}", sources={"p.py": IN_COMPILED_CODE})
    with pytest.raises(GatewayError, match='policy "mine" failed'):
        await chained(build(built), answering())(make_exchange())
    (record,) = (each for each in caplog.records if each.name == "gateway.policy")
    assert record.getMessage().endswith("p.py:8")


def test_a_file_in_a_directory_of_that_name_is_not_the_gateways() -> None:
    """A configuration may be in `gateway/`, too."""
    assert is_library("gateway/http/messages.py:384")
    assert not is_library("gateway/policies.py")
    with pytest.raises(ZeroDivisionError) as raised:
        exec(compile("1 / 0", "gateway/policies.py", "exec"))
    assert place_of(raised.value) == "gateway/policies.py:1"

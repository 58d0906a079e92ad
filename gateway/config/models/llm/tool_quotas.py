"""models.yaml: how often models may have tools called."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.config.models.llm.mcp import ToolPatterns
from gateway.config.models.llm.values import MIDNIGHT, STORE_FILE, Store, Tokens, Window
from gateway.config.models.policy import Policy
from gateway.config.models.rate_limits import KEY_DESCRIPTION, ON_FAILURE_DESCRIPTION, check_part
from gateway.config.values.instants import Zone
from gateway.config.values.kinds import Kind, SomeOf, Text


def _check_part(text: str) -> str:
    return text if text == "tool" else check_part(text, ("tool",))


ToolKeyPart = Annotated[
    str,
    Kind("consumer, tenant, address, route, tool, header:Name or claim:name"),
    AfterValidator(_check_part),
]


class ToolQuota(Policy):
    """How many calls of tools answers of models may have in a window. They are counted when an answer has them; a
    request that offers such a tool gets a 429 once the quota is used up."""

    key: SomeOf[ToolKeyPart] = Field(
        ("consumer",),
        description=KEY_DESCRIPTION.removesuffix(" A header that clients choose freely limits no one.")
        + " Also `tool`: each tool counts apart. A header that clients choose freely limits no one.",
        examples=[["tenant", "tool"]],
    )
    tools: ToolPatterns = Field(("*",), description="Which tools; `*` stands for any text.", examples=[["web_*"]])
    limit: Tokens = Field(description="Calls in the window.", examples=[1000])
    window: Window = Field(
        description="`minute`, `hour`, `day`, `week` (from Monday on) or `month` of the calendar, or a duration such "
        "as `30m`, one after the other.",
        examples=["day"],
    )
    timezone: Zone = MIDNIGHT
    store: Store = "sqlite"
    file: Text = STORE_FILE
    on_failure: Literal["open", "closed", "local"] = Field("local", description=ON_FAILURE_DESCRIPTION)

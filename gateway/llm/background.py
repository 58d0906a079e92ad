"""Answers that go on without a connection, as those of Responses with `background: true` do.

What one took is in no answer to its request, and nobody need ever fetch it: all that it may take is charged. The
request says how much that is where its input is texts, of which no tokenizer makes more tokens than bytes, and where
the model is run once: tools of the provider have it read what they found, as often as it likes.
"""

from __future__ import annotations

from typing import Final

from gateway.errors import ErrorKind
from gateway.llm.naming import PLAIN
from gateway.llm.request import ANY_LIMIT, ModelRequest
from gateway.llm.speaking import ModelError

_SAYS_ALL: Final = (PLAIN - {"previous_response_id", "prompt"}) | {
    *("background", "tools", "tool_choice", "parallel_tool_calls", "max_tool_calls", "reasoning", "text", "include"),
    *("truncation", "service_tier", "speed", "safety_identifier", "prompt_cache_retention", "prompt_cache_options"),
    *("client_metadata", "top_logprobs", "logit_bias", "min_p", "repetition_penalty", *ANY_LIMIT),
}
"""Members of a request that have an answer take no more than they say."""

_HAVE_TEXTS: Final = ("input", "instructions")
_TEXTS: Final = frozenset(
    {
        *("message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"),
        *("input_text", "output_text", "text", "refusal"),
    }
)
"""Kinds of items, and of parts of them, that are texts. A file, a picture and what is stored may be of any length."""

_OF_CLIENT: Final = frozenset({"function", "custom"})
"""Kinds of tools that only the client runs: the answer ends with a call."""


def unbounded(request: ModelRequest) -> str:
    """The member for which the request does not say how much its answer may take; empty where all do."""
    if request.api.name != "openai.responses":
        return "deferred"  # whose answer nobody can fetch through the gateway
    for name, value in request.document.items():
        if value is None:
            continue
        if name not in _SAYS_ALL or (name == "tools" and not _are_of_client(value)):
            return name
        if name in _HAVE_TEXTS and not _is_text(value):
            return name
    return ""


def not_counted(member: str, budget: str) -> ModelError:
    """The refusal within a budget, for such a member."""
    if member == "deferred":
        detail = f"a deferred answer is not counted, and there is the budget {budget}; send it without `deferred`"
    else:
        detail = (
            f"an answer in the background is not counted, there is the budget {budget}, and because of "
            f"`{member[:100]}` the request does not say how much it may take; send it without `background`"
        )
    return ModelError(ErrorKind.FORBIDDEN, detail, "background_not_allowed", param=member[:100])


def _are_of_client(tools: object) -> bool:
    if not isinstance(tools, list):
        return False
    for tool in tools:
        # In any letters: some servers take `Type` for `type`.
        kinds = [tool[name] for name in tool if name.casefold() == "type"] if isinstance(tool, dict) else []
        if not kinds or not all(isinstance(kind, str) and kind in _OF_CLIENT for kind in kinds):
            return False
    return True


def _is_text(value: object) -> bool:
    rest = [value]
    while rest:
        part = rest.pop()
        if isinstance(part, list):
            rest += part
        elif isinstance(part, dict):
            kinds = [part[name] for name in part if name.casefold() == "type" and part[name] is not None]
            if not kinds and "role" in part and "content" in part:
                kinds = ["message"]
            if not kinds or not all(isinstance(kind, str) and kind in _TEXTS for kind in kinds):
                return False
            rest += [part.get("content"), part.get("output")]
    return True

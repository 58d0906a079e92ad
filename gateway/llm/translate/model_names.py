"""What can be inferred from the name of a model about the fields that its API takes: servers refuse fields that they do
not know."""

from __future__ import annotations

import re

_OPENAI = re.compile(r"(?:.*/)?(?:gpt-(?!oss)|chatgpt-|o[1-9](?:$|-)|codex-)")
_OPENAI_REASONING = re.compile(r"(?:.*/)?(?:gpt-(?:[5-9]|[1-9]\d)(?!.*-chat)|o[1-9](?:$|-)|codex-)")
_OPEN_REASONING = re.compile(r"(?:.*/)?(?:openai/)?gpt-oss")
_CLAUDE = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?![\d])")


def is_openai(model: str) -> bool:
    """Whether it is a model of OpenAI's own service, which takes all of its fields."""
    return _OPENAI.match(model) is not None


def limit_field(model: str) -> str:
    """The field of chat/completions for the limit of the output.

    OpenAI's reasoning models refuse `max_tokens`; many other servers do not know `max_completion_tokens`.
    """
    return "max_completion_tokens" if is_openai(model) else "max_tokens"


def takes_effort(model: str) -> bool:
    """Whether a model is known to take `reasoning_effort`; others of OpenAI refuse requests that have it."""
    return _OPENAI_REASONING.match(model) is not None or _OPEN_REASONING.match(model) is not None


def claude_version(model: str) -> tuple[int, int] | None:
    """The version of a Claude model: (4, 5) of claude-sonnet-4-5-20250929; None for others."""
    if (found := _CLAUDE.search(model)) is None:
        return None
    return int(found[1]), int(found[2] or 0)


def takes_sampling(model: str) -> tuple[bool, bool]:
    """Whether a model behind Messages takes a temperature, or `top_p`, and whether both at once.

    Claude refuses both from 4.7 on, and both together from 4.1 on.
    """
    version = claude_version(model) or (0, 0)
    return version < (4, 7), version < (4, 1)


def takes_strict_tools(model: str) -> bool:
    """Whether a model behind Messages takes `strict` of tools, which Claude refuses before 4.5."""
    return (claude_version(model) or (4, 5)) >= (4, 5)


def thinks_by_itself(model: str) -> bool:
    """Whether a model thinks where the request says nothing of it, as Claude does from 5 on."""
    return (claude_version(model) or (0, 0)) >= (5, 0)


def default_output_limit(model: str) -> int:
    """The limit where the request has none, as Anthropic demands one: what the model can, up to 32000 tokens."""
    version = claude_version(model)
    if version is None or version < (3, 5):
        return 4096
    return 8192 if version < (3, 7) else 32000

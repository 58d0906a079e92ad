"""Providers of models that are known by their names."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

Protocol = Literal["openai", "anthropic", "gemini"]


class WellKnown(NamedTuple):
    """Defaults of a provider of this name."""

    protocol: Protocol
    base_url: str
    models: tuple[str, ...]


WELL_KNOWN: Final[Mapping[str, WellKnown]] = MappingProxyType(
    {
        "openai": WellKnown(
            "openai",
            "https://api.openai.com",
            (
                *("gpt-*", "chatgpt-*", "o1*", "o3*", "o4*", "codex-*", "computer-use-*", "text-embedding-*", "omni-*"),
                *("text-moderation-*", "whisper-*", "tts-*", "dall-e-*", "sora-*", "babbage-*", "davinci-*"),
            ),
        ),
        "anthropic": WellKnown("anthropic", "https://api.anthropic.com", ("claude-*",)),
        "google": WellKnown(
            "gemini",
            "https://generativelanguage.googleapis.com",
            ("gemini-*", "gemma-*", "embedding-*", "imagen-*", "veo-*", "learnlm-*", "aqa"),
        ),
    }
)
"""Providers that need no `base_url` and no `protocol`."""

"""Token counts of an answer, as reported by providers, in one form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

MOST_TOKENS: Final = 2**40
"""No count is taken to be more: what a provider says is added up, and stored as an integer."""


@dataclass(slots=True, init=False)
class Usage:
    """Tokens. What was read from a cache or written to one is part of `input`, and reasoning is part of `output`.

    Nothing changes one. (Not frozen, and no tuple: one is made for every answer.)
    """

    input: int
    output: int
    cache_read: int
    cache_write: int
    reasoning: int
    estimated: bool  # some of it, at least
    cache_write_long: int  # what of `cache_write` is kept for an hour, which costs more

    def __init__(
        self,
        input: int,
        output: int,
        cache_read: int = 0,
        cache_write: int = 0,
        reasoning: int = 0,
        estimated: bool = False,
        cache_write_long: int = 0,
    ) -> None:
        self.input = input
        self.output = output
        self.cache_read = cache_read
        self.cache_write = cache_write
        self.reasoning = reasoning
        self.estimated = estimated
        self.cache_write_long = cache_write_long

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to charge."""
        return not (self.input or self.output or self.estimated)


NOTHING: Final = Usage(0, 0)


def count(value: object) -> int:
    """A number of tokens, whatever stands in its place; 0 for what is none."""
    if type(value) is int and 0 <= value <= MOST_TOKENS:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST_TOKENS:
        return MOST_TOKENS if isinstance(value, int | float) and value > MOST_TOKENS else 0
    return int(value)


def members(value: object) -> Mapping[str, Any]:
    """An object of JSON, or an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def of_openai(value: object) -> Usage | None:
    """Of chat, completions, embeddings (`prompt_tokens`), and of responses, images, audio (`input_tokens`).

    None for what says nothing: no object, or one whose counts are all 0, which some servers send.
    """
    if not isinstance(value, dict):
        return None
    said: Mapping[str, Any] = value
    if "prompt_tokens" in said:
        of_input, given = said["prompt_tokens"], said.get("prompt_tokens_details")
    else:
        of_input, given = said.get("input_tokens"), said.get("input_tokens_details")
    if "completion_tokens" in said:
        of_output, made = said["completion_tokens"], said.get("completion_tokens_details")
    else:
        of_output, made = said.get("output_tokens"), said.get("output_tokens_details")
    tokens = of_input if type(of_input) is int and 0 <= of_input <= MOST_TOKENS else count(of_input)
    output = of_output if type(of_output) is int and 0 <= of_output <= MOST_TOKENS else count(of_output)
    if not tokens and not output:
        return None
    if given is made is None and "prompt_cache_hit_tokens" not in said:
        return Usage(tokens, output)
    details = members(given)
    reasoning = count(members(made).get("reasoning_tokens"))
    if reasoning and count(said.get("total_tokens")) == tokens + output + reasoning:
        output += reasoning  # xAI counts it apart
    return Usage(
        tokens,
        output,
        cache_read=min(tokens, count(details.get("cached_tokens", said.get("prompt_cache_hit_tokens")))),
        cache_write=count(details.get("cache_write_tokens")),
        reasoning=min(output, reasoning),
    )


def of_anthropic(value: object) -> Usage | None:
    """Of a whole message. The three counts of input are disjoint there; here the input is all of them."""
    said = members(value)
    cache_read, cache_write = count(said.get("cache_read_input_tokens")), count(said.get("cache_creation_input_tokens"))
    tokens, output = count(said.get("input_tokens")) + cache_read + cache_write, count(said.get("output_tokens"))
    if not tokens and not output:
        return None
    long = min(cache_write, count(members(said.get("cache_creation")).get("ephemeral_1h_input_tokens")))
    return Usage(tokens, output, cache_read, cache_write, _thought(said, output), cache_write_long=long)


def _thought(said: Mapping[str, Any], output: int) -> int:
    return min(output, count(members(said.get("output_tokens_details")).get("thinking_tokens")))


def of_gemini(value: object) -> Usage | None:
    """Of `usageMetadata`, where thoughts stand beside the output, and what tools gave beside the input."""
    said = members(value)
    tokens = count(said.get("promptTokenCount")) + count(said.get("toolUsePromptTokenCount"))
    thoughts = count(said.get("thoughtsTokenCount"))
    output = count(said.get("candidatesTokenCount")) + thoughts
    if not tokens and not output:
        return None
    return Usage(tokens, output, min(tokens, count(said.get("cachedContentTokenCount"))), reasoning=thoughts)

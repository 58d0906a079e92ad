"""Token counts of an answer, as reported by providers, in one form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

MOST_TOKENS: Final = 10**9
"""No answer has more: a count above it cannot be."""


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
    estimated: bool  # some of it, at least; in a provider's report: some count of it cannot be, and is 0 here
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
    """A number of tokens; 0 for what is none."""
    if type(value) is int:
        return value if 0 <= value <= MOST_TOKENS else 0
    return int(value) if isinstance(value, float) and 0 <= value <= MOST_TOKENS and value.is_integer() else 0


def _cannot_be(value: object) -> bool:
    """Whether something is said that is no number of tokens."""
    return value is not None and not count(value) and (isinstance(value, bool) or value != 0)


def members(value: object) -> Mapping[str, Any]:
    """An object of JSON, or an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def of_openai(value: object) -> Usage | None:
    """Of chat, completions, embeddings (`prompt_tokens`), and of responses, images, audio (`input_tokens`).

    None for what says nothing: no object, or one whose counts are all 0, which some servers send. (So for each API.)
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
    odd = (not tokens and _cannot_be(of_input)) or (not output and _cannot_be(of_output))
    if not tokens and not output:
        return Usage(0, 0, estimated=True) if odd else None
    if given is made is None and "prompt_cache_hit_tokens" not in said:
        return Usage(tokens, output, estimated=odd)
    details = members(given)
    reasoning = count(members(made).get("reasoning_tokens"))
    if reasoning and count(said.get("total_tokens")) == tokens + output + reasoning:
        output += reasoning  # xAI counts it apart
    return Usage(
        tokens,
        output,
        cache_read=min(tokens, count(details.get("cached_tokens", said.get("prompt_cache_hit_tokens")))),
        cache_write=min(tokens, count(details.get("cache_write_tokens"))),
        reasoning=min(output, reasoning),
        estimated=odd,
    )


def of_anthropic(value: object) -> Usage | None:
    """Of a whole message. The three counts of input are disjoint there; here the input is all of them."""
    said = members(value)
    of_input = said.get("input_tokens"), said.get("cache_read_input_tokens"), said.get("cache_creation_input_tokens")
    fresh, cache_read, cache_write = count(of_input[0]), count(of_input[1]), count(of_input[2])
    tokens, output = fresh + cache_read + cache_write, count(said.get("output_tokens"))
    odd = not output and _cannot_be(said.get("output_tokens"))
    if not (fresh and cache_read and cache_write) and any(map(_cannot_be, of_input)):
        odd, tokens, cache_read, cache_write = True, 0, 0, 0
    if not tokens and not output:
        return Usage(0, 0, estimated=True) if odd else None
    long = min(cache_write, count(members(said.get("cache_creation")).get("ephemeral_1h_input_tokens")))
    thought = min(output, count(members(said.get("output_tokens_details")).get("thinking_tokens")))
    return Usage(tokens, output, cache_read, cache_write, thought, odd, long)


def of_gemini(value: object) -> Usage | None:
    """Of `usageMetadata`, where thoughts stand beside the output, and what tools gave beside the input."""
    said = members(value)
    given, of_tools = said.get("promptTokenCount"), said.get("toolUsePromptTokenCount")
    written, thought = said.get("candidatesTokenCount"), said.get("thoughtsTokenCount")
    thoughts = count(thought)
    tokens, output = count(given) + count(of_tools), count(written) + thoughts
    odd = False
    if _cannot_be(given) or _cannot_be(of_tools):
        odd, tokens = True, 0
    if _cannot_be(written) or _cannot_be(thought):
        odd, output, thoughts = True, 0, 0
    if not tokens and not output:
        return Usage(0, 0, estimated=True) if odd else None
    cached = min(tokens, count(said.get("cachedContentTokenCount")))
    return Usage(tokens, output, cached, reasoning=thoughts, estimated=odd)

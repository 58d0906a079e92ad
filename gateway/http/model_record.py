"""What was decided about a request to a model, and what came of it: the one thing that metrics, logs, spans and the
dashboard read. `Exchange.model` has it; None for all other requests.

Names are of three kinds. Those in `backend`, `candidates`, `left_out`, `switches`, `profile` and `api` are configured
ones, few enough for labels of metrics. `asked` and `answered` are texts of the client and of the provider: for logs and
spans only. Nothing of prompts, answers or keys is in here, but what `content` of models.yaml asks for.
"""

from __future__ import annotations

from typing import Final, NamedTuple

_NONE: Final[tuple[str, ...]] = ()


class Switch(NamedTuple):
    """The request went on to another backend, before the client saw anything of the first."""

    origin: str  # a backend, as in `ModelRecord.backend`
    to: str
    reason: (
        str  # rate_limited, overloaded, timeout, connect, context_overflow, key, error, breaker, cooldown, truncated
    )


class LeftOut(NamedTuple):
    """A provider that was not asked."""

    provider: str
    reason: str  # model, protocol, cooldown, key, breaker, affinity, policy


class Content(NamedTuple):
    """What was said, as texts that may be logged: cut, or only a hash. None: there was nothing."""

    prompt: str | None
    answer: str | None


class ModelRecord:
    """One request to a model. Filled in as it goes on; complete when the exchange is reported."""

    __slots__ = (
        "answered",
        "api",
        "asked",
        "backend",
        "cache_read_tokens",
        "cache_write_tokens",
        "candidates",
        "committed_micros",
        "committed_tokens",
        "content",
        "cost_micros",
        "dropped",
        "estimated",
        "failure",
        "finished",
        "first_token_seconds",
        "from_provider",
        "input_tokens",
        "left_out",
        "model",
        "output_seconds",
        "output_tokens",
        "profile",
        "provider",
        "reasoning_tokens",
        "reserved_micros",
        "reserved_tokens",
        "revision",
        "rule",
        "streamed",
        "switches",
        "tool_calls",
        "translated",
        "tries",
        "unpriced",
    )

    def __init__(self, api: str, revision: str = "") -> None:
        self.api = api  # "openai.chat", ...: see gateway/llm/apis.py
        self.revision = revision  # digest of the configuration that decided
        self.asked = ""  # the model, as the client named it
        self.streamed = False  # the client asked for a stream
        # What was chosen.
        self.rule: int | None = None  # number of the rule that chose the profile, from 0; None: the default
        self.profile = ""
        self.candidates = _NONE  # backends, in the order in which they may be tried
        self.left_out: tuple[LeftOut, ...] = ()
        # What came of it.
        self.provider = ""  # the one that answered, or was tried last
        self.model = ""  # as that provider was asked
        self.backend = ""  # "provider/model", with the pattern in place of a name that only a pattern covers
        self.tries = 0  # attempts at providers
        self.switches: tuple[Switch, ...] = ()
        self.from_provider = False  # the client has the status, and the body, of a provider
        self.translated = ""  # the API that the provider was asked by, where that is another one
        self.dropped = _NONE  # fields of the request that the provider does not know
        self.answered = ""  # the model, as the answer named it
        self.finished = False  # the answer was complete
        self.failure = ""  # reason why the answer ended with an error, as in Switch.reason
        self.tool_calls = _NONE  # names of the tools that the answer calls
        # Tokens and money. Input includes what was read from or written to a cache, output includes reasoning.
        self.input_tokens = 0
        self.output_tokens = 0
        self.cache_read_tokens = 0
        self.cache_write_tokens = 0
        self.reasoning_tokens = 0
        self.estimated = False  # no count came: input by size, output by the text that was delivered
        self.reserved_tokens = 0
        self.reserved_micros = 0  # micro-dollars
        self.committed_tokens = 0
        self.committed_micros = 0
        self.cost_micros = 0
        self.unpriced = False  # no price is known for the model: the cost is not
        self.content: Content | None = None  # None: it is not to be kept
        # Time.
        self.first_token_seconds: float | None = None  # from the beginning of the request to the first content
        self.output_seconds = 0.0  # from there to the end of the answer

    @property
    def switched(self) -> bool:
        """Whether another backend than the first one was asked."""
        return bool(self.switches)

    def twin(self) -> ModelRecord:
        """One of the same request, with the same choice, of which nothing has come yet."""
        made = ModelRecord(self.api, self.revision)
        made.asked, made.streamed = self.asked, self.streamed
        made.rule, made.profile, made.candidates = self.rule, self.profile, self.candidates
        return made

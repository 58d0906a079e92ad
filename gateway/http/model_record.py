"""What was decided about a request to a model, and what came of it: the one thing that metrics, logs, spans and the
dashboard read. `Exchange.model` has it; None for all other requests.

Names are of three kinds. Those in `backend`, `candidates`, `switches`, `profile` and `api` are configured ones, few
enough for labels of metrics. `asked` and `answered` are texts of the client and of the provider, and a reason of
`left_out` may name a member of the request: for logs and spans only. Nothing of prompts, answers or keys is in here,
but what `content` of models.yaml asks for.
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
    reason: str  # model, protocol, cooldown, key, breaker, affinity, budget, policy, "cannot translate FIELD" (cut)


class Content(NamedTuple):
    """Texts of prompt and answer that may be logged: cut, or only a hash. None: there was none."""

    prompt: str | None
    answer: str | None


class ModelRecord:
    """One request to a model. Filled in as it goes on; complete when the exchange is reported."""

    # Defaults of the class: most requests differ in few of them.
    asked: str = ""  # the model, as the client named it
    streamed: bool = False  # the client asked for a stream
    stored: bool = False  # it is about something that a provider has stored, and not for a model
    # What was chosen.
    rule: int | None = None  # number of the rule that chose the profile, from 0; None: the default
    profile: str = ""
    candidates: tuple[str, ...] = _NONE  # backends, in the order in which they may be tried
    left_out: tuple[LeftOut, ...] = ()
    # What came of it.
    provider: str = ""  # the one that answered, or was tried last
    model: str = ""  # as that provider was asked
    backend: str = ""  # "provider/model", with the pattern in place of a name that only a pattern covers
    tries: int = 0  # attempts at providers
    switches: tuple[Switch, ...] = ()
    from_provider: bool = False  # the client has the status, and the body, of a provider
    translated: str = ""  # the API that the provider was asked by, where that is another one
    dropped: tuple[str, ...] = _NONE  # fields of the request that the provider does not know
    answered: str = ""  # the model, as the answer named it
    finished: bool = False  # the answer was complete
    failure: str = ""  # reason why the answer ended with an error, as in Switch.reason
    tool_calls: tuple[str, ...] = _NONE  # names of the tools that the answer calls
    # Tokens and money. Input includes what was read from or written to a cache, output includes reasoning.
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False  # no count came: input by size, output by the text that was delivered
    reserved_tokens: int = 0
    reserved_micros: int = 0  # micro-dollars
    committed_tokens: int = 0
    committed_micros: int = 0
    cost_micros: int = 0
    unpriced: bool = False  # no price is known for the model: the cost is not
    content: Content | None = None  # None: it is not to be kept
    unseen: tuple[str, ...] = _NONE  # stages of which a guardrail let pass what it could not look at
    # Time.
    first_token_seconds: float | None = None  # from the beginning of the request to the first content
    output_seconds: float = 0.0  # from there to the end of the answer

    def __init__(self, api: str, revision: str = "") -> None:
        self.api = api  # "openai.chat", ...: see gateway/llm/apis.py
        self.revision = revision  # digest of the configuration that decided

    @property
    def switched(self) -> bool:
        """Whether another backend than the first one was asked."""
        return bool(self.switches)

    def twin(self) -> ModelRecord:
        """One of the same request, with the same choice, of which nothing has come yet."""
        made = ModelRecord(self.api, self.revision)
        made.asked, made.streamed, made.stored = self.asked, self.streamed, self.stored
        made.rule, made.profile, made.candidates = self.rule, self.profile, self.candidates
        made.unseen = self.unseen
        return made

"""middleware.yaml: who may not call."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from gateway.algorithms.globs import MAX_LENGTH
from gateway.algorithms.sliding_window import MAX_LIMIT
from gateway.config.models.base import Model
from gateway.config.models.policy import Policy
from gateway.config.values import addresses
from gateway.config.values.instants import Instant
from gateway.config.values.kinds import Kind, Several, SomeOf, Text, Unset, refuse, shorthand
from gateway.config.values.quantities import Duration

MAX_PATTERNS = 1000


def parse_glob(text: str) -> str:
    """A pattern of user agents or paths."""
    if len(text) > MAX_LENGTH:
        raise refuse(f"a pattern has at most {MAX_LENGTH} characters")
    if not text.strip("* "):
        raise refuse("a pattern has at least one character that is not *; this one would block every client")
    return text


def parse_path_glob(text: str) -> str:
    """A pattern of paths, which begin with a slash."""
    if not text.startswith(("/", "*")):
        raise refuse("a path begins with /; write /name*, or *name* for anywhere in it")
    if "%2A" in text.upper():
        raise refuse(
            "%2A is the character *, which stands for any text here; write * for it, or another part of the path"
        )
    return parse_glob(text)


AgentGlob = Annotated[Text, Kind("pattern"), AfterValidator(parse_glob)]
PathGlob = Annotated[Text, Kind("pattern"), AfterValidator(parse_path_glob)]


class BlocklistEntry(Model):
    """Whom it is about, as exactly one of `network`, `consumer`, `user_agent` and `path`. A bare text is the same as
    `network`."""

    network: Unset[addresses.Network] = Field(
        None, description="Clients of this network (CIDR), or with this address, behind `trusted_proxies` (auth.yaml)."
    )
    consumer: Unset[Text] = Field(None, description="The consumer of this name, whatever it proves that with.")
    user_agent: Unset[AgentGlob] = Field(
        None,
        description="Clients whose `User-Agent` fits. `*` stands for any text; upper and lower case are the same.",
        examples=["*sqlmap*"],
    )
    path: Unset[PathGlob] = Field(
        None,
        description="Requests whose path fits: as the client sent it, with `base_path`, or in the form of the route. "
        "`*` stands for any text, slashes included; upper and lower case are the same.",
        examples=["*/.git/*"],
    )
    reason: Text = Field("", description="Why. Shown in lists and logs, not to the client.")
    until: Unset[Instant] = Field(None, description="When it ends. Unset: when it is removed.")

    @model_validator(mode="after")
    def _is_one(self) -> "BlocklistEntry":
        if sum(value is not None for value in (self.network, self.consumer, self.user_agent, self.path)) != 1:
            raise refuse("exactly one of network, consumer, user_agent and path is needed")
        return self


Entry = Annotated[
    BlocklistEntry,
    Kind("network, or keys below"),
    BeforeValidator(shorthand("network"), json_schema_input_type=addresses.Network | BlocklistEntry),
]


def _check_patterns(entries: tuple[BlocklistEntry, ...]) -> tuple[BlocklistEntry, ...]:
    if sum(entry.user_agent is not None or entry.path is not None for entry in entries) > MAX_PATTERNS:
        raise refuse(f"there are more than {MAX_PATTERNS} patterns of user agents and paths; make them fewer")
    return entries


class AutomaticBans(Model):
    """Entries for clients whose authentication fails again and again. Counted by each gateway for itself; the entry
    holds wherever the blocklist is shared. Proxies that are trusted (auth.yaml) are never banned."""

    failures: int = Field(10, ge=1, le=MAX_LIMIT, description="How many failures lead to a ban.")
    window: Duration = Field(300, description="Within which time they come.")
    ban: Duration = Field(600, description="How long the first ban lasts. Each further one lasts twice as long.")
    longest: Duration = Field(
        86400, description="The maximal duration of a ban. After that time without a ban, a client's count is reset."
    )
    per: SomeOf[Literal["address", "consumer"]] = Field(
        ("address",),
        description="The banned subject. `address`: the address of requests that are answered 401; of IPv6 the /64 "
        "network. `consumer`: the one whose password is wrong or whose credential has expired, wherever it comes from, "
        "and the one that is refused again and again what it is not allowed to do (403). A client that knows the user "
        "name of a consumer can keep it out in this way: add it where guessing from many addresses is worse than that.",
    )
    exempt: Several[addresses.Network] = Field(
        (), description="Networks (CIDR) or addresses that are never banned automatically."
    )
    mode: Literal["enforce", "shadow"] = Field(
        "enforce", description="`shadow`: create the entries, but only log and count requests that they would refuse."
    )

    @field_validator("longest")
    @classmethod
    def _is_not_shorter(cls, longest: float, info: ValidationInfo) -> float:
        if longest < info.data.get("ban", 0):
            raise refuse("longest is shorter than the first ban; raise it")
        return longest


class Blocklist(Policy):
    """Who may not call: a 403. Entries are here, are added and lifted while the gateway runs (`gateway blocklist`, and
    `/blocklist` of the admin API), or come of failed authentication. Those that are not here are kept in
    `state_directory`."""

    entries: Annotated[Several[Entry], AfterValidator(_check_patterns)] = Field(
        (),
        description="Entries, in force until they are removed here. Networks and consumers cost the same however "
        f"many there are; of patterns there are at most {MAX_PATTERNS}.",
    )
    automatic: Unset[AutomaticBans] = Field(None, description="Automatic entries. Unset: there are none.")
    shared: bool = Field(
        True,
        description="Share the entries that are made at runtime with all gateways that have the same `redis`, if there "
        "is one; a change arrives within two seconds.",
    )

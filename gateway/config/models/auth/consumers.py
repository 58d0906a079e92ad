"""Who calls: consumers, their tenants, and what they prove it with."""

import re
from hashlib import sha256
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from gateway.config.models.auth.http_signature import SignatureKeyConfig
from gateway.config.models.auth.mtls import Certificate
from gateway.config.models.base import Hidden, Model, Section
from gateway.config.models.llm.values import ModelPatterns
from gateway.config.models.policy import RuleName
from gateway.config.models.rate_limits import Windows
from gateway.config.values.addresses import OwnHeader
from gateway.config.values.instants import Instant
from gateway.config.values.kinds import Kind, Several, Text, TextLike, Unset, refuse, shorthand
from gateway.http.fields import folded

SHORTEST_PLAIN_KEY = 16  # characters

_MAX_NAME = 200


def sha256_text(name: str, command: str) -> TextLike:
    """A SHA-256 as text, which this command prints."""
    expected = f"expected sha256: and 64 hexadecimal digits, such as `{command}` prints"
    return TextLike(name, "sha256:[0-9a-f]{64}", expected)


def _check_name(text: str) -> str:
    if not 1 <= len(text) <= _MAX_NAME or text != text.strip():
        raise refuse(f"a name has 1 to {_MAX_NAME} characters, without spaces around them")
    return text


def _check_group(text: str) -> str:
    if "," in text:
        raise refuse("a group has no commas, because the backend gets several separated by commas")
    return _check_name(text)


def _check_scope(text: str) -> str:
    if re.search(r'[\s"\\]', text):
        raise refuse("a scope is without spaces, quotes and backslashes (RFC 6749, 3.3)")
    return _check_name(text)


def _hashed(key: str) -> str:
    if len(key) < SHORTEST_PLAIN_KEY or not key.isprintable():
        expected = f"expected a key of at least {SHORTEST_PLAIN_KEY} printable characters; a shorter one can be guessed"
        raise refuse(f"{expected}, `gateway keys new` makes one")
    return "sha256:" + sha256(key.encode()).hexdigest()


PlainKey = Annotated[str, Kind("text"), AfterValidator(_hashed)]
KeyHash = Annotated[str, sha256_text("key hash", "gateway keys new")]
Name = Annotated[Text, AfterValidator(_check_name)]
Group = Annotated[Text, AfterValidator(_check_group)]
Scope = Annotated[Text, AfterValidator(_check_scope)]
UserName = Annotated[Name, TextLike("text", "[^:]*", "a user name cannot have a colon (RFC 7617, 2)")]


class ApiKeyConfig(Model):
    """One API key: its hash, or the file that it is in. A bare text is the same as `hash`."""

    hash: Annotated[Unset[KeyHash], Hidden()] = Field(
        None,
        description="`sha256:` and the SHA-256 of the key, as `gateway keys new` prints it. The key itself is "
        "nowhere in the configuration.",
    )
    key: Annotated[Unset[PlainKey], Hidden()] = Field(
        None,
        description="Instead of `hash`: a key that exists already, `${file:/run/secrets/acme}` or `${ACME_KEY}`, not "
        "the text itself; at least 16 characters. Only its hash is kept.",
    )
    file: Unset[Text] = Field(
        None,
        description="Instead of `hash`: a file with keys or their hashes, one on each line, such as a mounted secret; "
        "relative to the configuration directory. A key has at least 24 characters. It is read again when it changes; "
        "a file that has become unusable keeps the keys that it had.",
    )
    not_before: Unset[Instant] = Field(None, description="When the key begins to hold. Unset: at once.")
    expires: Unset[Instant] = Field(None, description="When the key ceases to hold. Unset: never.")

    @field_validator("expires")
    @classmethod
    def _holds_at_some_time(cls, expires: float, info: ValidationInfo) -> float:
        if (begins := info.data.get("not_before")) is not None and begins >= expires:
            raise refuse("the key would never hold: expires must be later than not_before")
        return expires

    @model_validator(mode="after")
    def _is_one(self) -> "ApiKeyConfig":
        if sum(value is not None for value in (self.hash, self.key, self.file)) != 1:
            raise refuse("exactly one of hash, key and file is needed")
        return self

    @property
    def sha256(self) -> str | None:
        """`sha256:` and the hash, where the key is not in a file."""
        return self.hash or self.key

    @property
    def digest(self) -> bytes | None:
        """The SHA-256, where the key is not in a file."""
        text = self.sha256
        return None if text is None else bytes.fromhex(text.removeprefix("sha256:"))


class BasicConfig(Model):
    """User name and password, for HTTP Basic."""

    username: UserName = Field(description="The user name, without a colon.", examples=["acme"])
    password: Annotated[Text, Hidden()] = Field(
        description="Hash of the password, as `gateway keys password` prints it, or as `htpasswd` does (bcrypt, apr1, "
        "SHA).",
        examples=["$scrypt$ln=15,r=8,p=1$<salt>$<hash>"],
    )


class SubjectConfig(Model):
    """A subject of tokens that stands for the consumer. A bare text is the same as `subject`."""

    subject: Name = Field(description="The value of the claim that names the consumer (`sub`).", examples=["user-17"])
    issuer: Unset[Text] = Field(None, description="Only in tokens of this issuer. Unset: of every issuer.")


ApiKey = Annotated[
    ApiKeyConfig,
    Kind("key hash, or keys below"),
    BeforeValidator(shorthand("hash"), json_schema_input_type=KeyHash | ApiKeyConfig),
]
Subject = Annotated[
    SubjectConfig,
    Kind("text, or keys below"),
    BeforeValidator(shorthand("subject"), json_schema_input_type=str | SubjectConfig),
]


class ConsumerConfig(Model):
    """One caller: who it is, and what it proves that with."""

    name: Name = Field(description="Its name, unique, in logs, limits and for backends.", examples=["acme-app"])
    tenant: Unset[Name] = Field(None, description="The customer or department that it belongs to.")
    groups: Several[Group] = Field((), description="Its groups: for authorization, and tiers of limits.")
    scopes: Several[Scope] = Field((), description="Its permissions. The scopes of a token replace them.")
    keys: Several[ApiKey] = Field((), description="Its API keys; several hold at once, so that one can follow another.")
    basic: Unset[BasicConfig] = Field(None, description="Its user name and password, for HTTP Basic.")
    signatures: Several[SignatureKeyConfig] = Field((), description="Keys with which it signs requests (RFC 9421).")
    certificates: Several[Certificate] = Field((), description="Its certificates, for mutual TLS.")
    subjects: Several[Subject] = Field(
        (),
        description="Subjects of tokens that are this consumer. A token whose subject has the name of a consumer that "
        "does not list it here is refused: a consumer cannot be taken over by having the same name.",
    )
    models: Unset[ModelPatterns] = Field(
        None,
        description="The models of models.yaml that it may use, aliases included; `*` stands for any text. Others are "
        "refused with 403, and not listed to it. Unset: it may name all.",
        examples=["small"],
    )
    limits: dict[RuleName, Windows] = Field(
        {}, description="Its own limits, by the names of rate limits in middleware.yaml, in place of what these say."
    )


class IdentityHeaders(Section):
    """The headers that name the caller to a backend. What a client sends under these names is always removed."""

    consumer: OwnHeader = Field("x-consumer-name", description="Header with the consumer's name.")
    tenant: OwnHeader = Field("x-consumer-tenant", description="Header with the tenant, if there is one.")
    groups: OwnHeader = Field("x-consumer-groups", description="Header with the groups, separated by commas.")
    scopes: OwnHeader = Field("x-consumer-scopes", description="Header with the scopes, separated by spaces.")

    @field_validator("consumer", "tenant", "groups", "scopes")
    @classmethod
    def _is_free(cls, header: str) -> str:
        if folded(header.encode()).startswith((b"x-request-id", b"x-forwarded-", b"sec-", b"proxy-")):
            raise refuse("this header is reserved; use another, such as X-Consumer-Name")
        return header

    @model_validator(mode="after")
    def _differ(self) -> "IdentityHeaders":
        names = [folded(name.encode()) for name in (self.consumer, self.tenant, self.groups, self.scopes)]
        if len(set(names)) < len(names):
            raise refuse("two of the headers have the same name; rename one")
        return self

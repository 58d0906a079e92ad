"""middleware.yaml: the bridge to an agent network."""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from gateway.config.models.alert_senders import AlertSender
from gateway.config.models.base import Section
from gateway.config.models.policy import Named
from gateway.config.values.addresses import Network, parse_address
from gateway.config.values.kinds import Kind, Several, Text, TextLike, Unset, accepted_by, refuse
from gateway.config.values.quantities import Duration
from gateway.roles import Role

Prefix = Annotated[
    str,
    TextLike(
        "prefix",
        "[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?",
        "a prefix is at most 40 small letters, digits and hyphens, such as acme",
    ),
]
Delivery = Literal["stream", "inbox"]
Topic = Literal["service-registry", "auth-request", "access-log", "health-feedback"]


def public_key(text: str) -> bytes:
    """32 bytes, as base64 or as hexadecimal digits. Raises ValueError."""
    try:
        key = bytes.fromhex(text) if re.fullmatch("[0-9A-Fa-f]{64}", text) else b64decode(text, validate=True)
    except Base64Error:
        key = b""
    if len(key) != 32:
        raise refuse("expected an Ed25519 key of 32 bytes in base64, as `pilotctl lookup` prints it")
    return key


def _check_loopback(text: str) -> None:
    host, _ = parse_address(text)
    try:
        here = ip_address(host.strip("[]")).is_loopback
    except ValueError:
        here = False
    if not here:
        raise refuse("expected an address of this machine, such as 127.0.0.1:9010")


def _only_https(sender: AlertSender) -> AlertSender:
    if sender.kind not in ("slack", "webhook"):
        raise refuse("alerts of the bridge go to slack or webhook; for others use alerts.send")
    if not sender.url.startswith("https://"):
        raise refuse("alerts of the bridge leave by HTTPS only; write a URL that begins with https://")
    return sender


PublicKey = Annotated[str, Kind("public key"), accepted_by(public_key)]
Loopback = Annotated[str, Kind("host:port"), accepted_by(_check_loopback)]
HttpsSender = Annotated[AlertSender, AfterValidator(_only_https)]


class Agents(Section):
    """The bridge that brings the four roles onto an agent network, `gateway agents serve` (docs/agents.md). Where this
    group is there, the gateway tells the bridge what it needs, over `bus: redis` or by the admin API."""

    prefix: Unset[Prefix] = Field(
        None,
        description="The prefix of the agents' names: `acme` for `acme-router`. Unset: that of `--prefix`.",
        examples=["acme"],
    )
    socket: Text = Field(
        "/tmp/pilot.sock",  # where the daemon has it by default; its owner is checked
        description="Socket of the daemon of the Pilot network. `{role}` stands for the role, since each role has a "
        "daemon of its own. It must belong to the user of the bridge.",
        examples=["/run/pilot/{role}.sock"],
    )
    pilotctl: Text = Field(
        "pilotctl",
        description="The command that the operator has installed. `{role}` stands for the role.",
    )
    delivery: Delivery | dict[Topic, Delivery] = Field(
        "stream",
        description="How messages are sent: `stream` (port 1002, as the agents do), or `inbox` (port 1001, "
        "acknowledged); or one of them for each topic.",
        examples=[{"access-log": "inbox"}],
    )
    send_credentials: bool = Field(
        False,
        description="`true`: `auth-request` has the credential itself, in clear. Otherwise it has a fingerprint.",
    )
    sample: float = Field(
        1.0, ge=0, le=1, description="Share of the requests of which `access-log` is sent; at most 200 in a second."
    )
    require_signature: bool = Field(
        False, description="Whether messages by `stream` must be signed, too; those by `inbox` always are."
    )
    mutual: bool = Field(
        True, description="Whether both sides must have made the handshake. `false`: the approval of this side counts."
    )
    pins: dict[Text, PublicKey] = Field(
        {},
        description="Public keys of agents by their names. Those of others are pinned at the first contact.",
        examples=[{"acme-discovery": "<key in base64>"}],
        max_length=64,
    )
    networks: Several[Network] = Field(
        (),
        description="Networks where instances of `service-registry` may be; a message with one outside of them is "
        "refused. Empty: all of them are.",
        examples=[["10.0.0.0/8"]],
    )
    min_endpoints: int = Field(
        1,
        ge=0,
        le=10_000,
        description="How many endpoints of a service are left in at least, whatever `health-feedback` says of them.",
    )
    stale_after: Duration = Field(
        75, description="How long after the last `service-registry` of a service its instances count as stale."
    )
    alerts: Named[HttpsSender] = Field(
        {}, description="Receivers of `api-alert`: `slack` or `webhook`, by HTTPS, with the keys of `alerts.send`."
    )
    webhook: Unset[Loopback | dict[Role, Loopback]] = Field(
        None,
        description="Where the daemon's webhook is listened for, to learn of revoked trust at once; where a machine "
        "has several roles, an address for each of them. Unset: it is asked every five seconds.",
        examples=["127.0.0.1:9010", {"router": "127.0.0.1:9010", "auth": "127.0.0.1:9011"}],
    )
    webhook_secret: Unset[Annotated[SecretStr, Kind("text")]] = Field(
        None, description="Key of the signatures of that webhook."
    )

    @model_validator(mode="after")
    def _has_its_secret(self) -> "Agents":
        if (self.webhook is None) != (self.webhook_secret is None):
            raise refuse("webhook and webhook_secret belong together; add the other one")
        return self

    @model_validator(mode="after")
    def _has_a_webhook_for_each(self) -> "Agents":
        if isinstance(self.webhook, dict) and len(set(self.webhook.values())) < len(self.webhook):
            raise refuse("two roles of webhook have one address; only one of them could listen there")
        return self

    def webhook_of(self, role: Role) -> str:
        """Where the webhook of the daemon of a role is listened for; empty: nowhere."""
        return (self.webhook or {}).get(role, "") if not isinstance(self.webhook, str) else self.webhook

    def delivery_of(self, topic: str) -> Delivery:
        """How messages of this topic are sent."""
        return self.delivery if isinstance(self.delivery, str) else {**self.delivery}.get(topic, "stream")  # type: ignore[call-overload]

"""middleware.yaml: the control plane that this gateway belongs to."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from gateway.config.models.base import Section
from gateway.config.values.kinds import Kind, Text, TextLike, Unset, refuse
from gateway.config.values.quantities import Duration

_EXPECTED = "expected http://host[:port] or https://host[:port], with the path in front of /api if there is one"


def _control_plane_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        right = False
    if not right or parts.query or parts.fragment or parts.username is not None or parts.password is not None:
        if "@" in url or "?" in url:  # which may be a credential
            raise PydanticCustomError("pointed", "{message}{hint}", {"message": _EXPECTED, "hint": ""})
        raise refuse(_EXPECTED)
    return url.rstrip("/")


ControlPlaneUrl = Annotated[Text, Kind("URL"), AfterValidator(_control_plane_url)]
Label = Annotated[str, TextLike("label", r"[^\x00-\x1f\x7f]{1,128}", "expected 1 to 128 characters on one line")]


class ControlPlane(Section):
    """The control plane that says which configuration this gateway runs (docs/control-plane.md). The gateway calls it;
    without it, the gateway serves what it has. This group belongs to the machine: a configuration that the control
    plane sends must not have it."""

    url: Unset[ControlPlaneUrl] = Field(
        None,
        description="Where it is. Unset: the variable `GATEWAY_CONTROL_PLANE_URL`.",
        examples=["https://control.example:9100"],
    )
    token_file: Unset[Text] = Field(
        None,
        description="The file with the gateway's token, or with a join token, relative to the configuration directory. "
        "Unset: the variable `GATEWAY_CONTROL_PLANE_TOKEN`, or the token that it got when it joined, which is in "
        "`state_directory`.",
        examples=["control-plane-token"],
    )
    token: Unset[Annotated[SecretStr, Kind("text")]] = Field(
        None, description="The token itself, such as `${CONTROL_PLANE_TOKEN}`, in place of a file."
    )
    ca: Unset[Text] = Field(
        None,
        description="A file with the authorities that its certificate is checked with, relative to the configuration "
        "directory. Unset: those of the system.",
    )
    name: Unset[
        Annotated[str, TextLike("name", "[a-z0-9-]{1,64}", "expected at most 64 small letters, digits and hyphens")]
    ] = Field(None, description="The name under which it registers itself. Unset: the host name.")
    labels: dict[Label, Label] = Field({}, description="Labels that are shown beside its name.", max_length=32)
    gateway_type: Literal["INGRESS", "EGRESS"] = Field(
        "INGRESS", description="The type with which it registers itself."
    )
    heartbeat: Duration = Field(15, ge=1, le=300, description="How often it says how it is.")

    @model_validator(mode="after")
    def _has_one_token(self) -> "ControlPlane":
        if self.token is not None and self.token_file is not None:
            raise refuse("there are token and token_file; remove one of them")
        return self

"""middleware.yaml: who may use the admin port."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.config.models.auth.consumers import Name, sha256_text
from gateway.config.models.base import Hidden, Model, Section
from gateway.config.values.kinds import Several, TextLike

AdminHost = Annotated[
    str,
    TextLike(
        "host",
        r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?",
        "expected a host name or an address, with a port if it has one: gateway-admin.example:9001",
    ),
    AfterValidator(str.lower),
]
TokenHash = Annotated[str, sha256_text("token hash", "gateway admin token new")]


class AdminToken(Model):
    """One token for the admin port."""

    name: Name = Field(description="The name of its holder in logs.", examples=["ci"])
    hash: Annotated[TokenHash, Hidden()] = Field(
        description="`sha256:` and the SHA-256 of the token, as `gateway admin token new` prints it.",
    )
    role: Literal["read", "write"] = Field(
        "read", description="`read`: look. `write`: also reload, and change the blocklist."
    )


class Admin(Section):
    """Who may use the admin port (`--admin`). On a loopback address reading is open, and one token that may write is
    made at the first start, in the file `admin-token` of `state_directory`, where the commands of `gateway` find it.
    On any other address everything needs a token."""

    hosts: Several[AdminHost] = Field(
        (),
        description="Its host names, beside the address that it listens on, "
        "such as that of a proxy in front of it. A request with another `Host`, or from a page "
        "with another `Origin`, is refused.",
    )
    tokens: Several[AdminToken] = Field((), description="Tokens, sent as `Authorization: Bearer ...`.")

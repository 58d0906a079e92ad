"""The files and sockets that the commands use: configuration, state directory, the daemon's socket."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.agents.flows import hostname_of, peers_of
from gateway.agents.handshakes import HandshakeSettings
from gateway.config.load import parse
from gateway.config.models import MiddlewareFile
from gateway.config.models.agents import Agents, public_key
from gateway.config.regular_files import read_regular
from gateway.config.yaml.compose import compose
from gateway.config.yaml.document import Mapping, Scalar
from gateway.config.yaml.expand import Expander, ExpansionError
from gateway.config.yaml.text import MAX_BYTES
from gateway.roles import Role

DIRECTORY: Final = "agents"  # in the state directory
FILE: Final = "middleware.yaml"

_ROUTES: Final = b"routes: [{path: /, respond: 204}]"  # a configuration has some; none of it is taken here


class SetupProblem(Exception):
    """The configuration lacks something; the text says what to do."""


@dataclass(frozen=True, slots=True)
class RoleSetup:
    """The handshakes and the daemon's socket of one role."""

    settings: HandshakeSettings
    socket: str


def state_of(directory: Path) -> Path:
    """The directory in which bridges of this configuration keep what outlives them. Raises ConfigError."""
    return directory / _middleware(directory).state_directory / DIRECTORY


def state_beside_errors(directory: Path) -> tuple[Path, bool]:
    """The same of a configuration with errors, and whether it is certain: `state_directory` may be what cannot be read,
    and the default is taken for it."""
    default = Path(MiddlewareFile.model_fields["state_directory"].default)
    try:
        document, _ = compose(FILE, read_regular(directory / FILE, MAX_BYTES))
        if document is None:  # it could not be read to its end
            return directory / default / DIRECTORY, False
        top = document.root.entries if isinstance(document.root, Mapping) else {}
        node = top["state_directory"].node if "state_directory" in top else Scalar(1, 1, str(default), plain=True)
        written = Expander(os.environ, directory).expand(node.text) if isinstance(node, Scalar) else ""
    except (OSError, ValueError, ExpansionError):
        written = ""
    return directory / (written or default) / DIRECTORY, bool(written)


def role_setup(directory: Path, role: Role, prefix: str | None, socket: str | None) -> RoleSetup:
    """Raises ConfigError and SetupProblem."""
    middleware = _middleware(directory)
    agents = middleware.agents or Agents()
    prefix = prefix or agents.prefix
    if prefix is None:
        raise SetupProblem("the prefix of the agents is not known; say --prefix acme, or write agents.prefix")
    settings = HandshakeSettings(
        hostname=hostname_of(prefix, role),
        peers=tuple(peers_of(role, prefix).values()),
        mutual=agents.mutual,
        pins=pins_of(agents),
        pins_file=str(pins_path(directory / middleware.state_directory / DIRECTORY)),
    )
    return RoleSetup(settings, of_role(socket or agents.socket, role))


def of_role(text: str, role: str) -> str:
    """A path of the configuration, as it is for this role."""
    return os.path.expanduser(text.replace("{role}", role))


def pins_path(state: Path) -> Path:
    """Where keys are pinned, for all roles of a state directory."""
    return state / "pins.json"


def pins_of(agents: Agents) -> dict[str, bytes]:
    """Those of the configuration."""
    return {name: public_key(key) for name, key in agents.pins.items()}


def _middleware(directory: Path) -> MiddlewareFile:
    try:
        only = {FILE: read_regular(directory / FILE, MAX_BYTES)}
    except FileNotFoundError:
        only = {}
    except (OSError, ValueError) as error:
        raise SetupProblem(f"{directory / FILE} cannot be read: {error}") from None
    return parse({"routes.yaml": _ROUTES, **only}, os.environ, base=directory).middleware

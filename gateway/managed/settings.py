"""Which control plane this gateway belongs to: what its own files and its environment say, whatever it runs."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from gateway.config.local_sections import FILE, LOCAL
from gateway.config.models import MiddlewareFile
from gateway.config.models.control_plane import ControlPlane
from gateway.config.models.errors import to_fault
from gateway.config.problems import ConfigError, Problem
from gateway.config.regular_files import read_regular
from gateway.config.secrets import KnownSecrets
from gateway.config.yaml.compose import compose
from gateway.config.yaml.document import Mapping
from gateway.config.yaml.expand import Converter, Expander
from gateway.config.yaml.places import to_problem
from gateway.config.yaml.text import MAX_BYTES

URL: Final = "GATEWAY_CONTROL_PLANE_URL"
TOKEN: Final = "GATEWAY_CONTROL_PLANE_TOKEN"
OWN: Final = (LOCAL, "state_directory")
MOST_TOKEN: Final = 1024  # bytes of a file with one


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the control plane connection. `url` None: there is none."""

    url: str | None = None
    token: str | None = None  # as it is given; the gateway may have one of its own beside it
    ca: Path | None = None
    name: str = ""
    labels: MappingOf[str, str] | None = None
    gateway_type: str = "INGRESS"
    heartbeat: float = 15.0
    state: Path = Path("state")

    @property
    def http(self) -> str:
        """Where its operations begin."""
        return self.url or ""

    @property
    def websocket(self) -> str:
        """The same for WebSockets."""
        return "ws" + (self.url or "").removeprefix("http")


def read_settings(directory: Path, environment: MappingOf[str, str], secrets: KnownSecrets) -> Settings:
    """The settings in the files of this machine. Raises ConfigError with all errors of the group. Not for the
    event loop."""
    try:
        data = read_regular(directory / FILE, MAX_BYTES)
    except FileNotFoundError:
        data = b""
    except (OSError, ValueError) as error:
        raise ConfigError([Problem(FILE, 0, 0, "", f"the file cannot be read: {error}")]) from None
    file = _read(data, Expander(environment, directory, secrets))
    group = file.control_plane or ControlPlane.unset()
    url = group.url or environment.get(URL, "").strip().rstrip("/") or None
    return Settings(
        url=url,
        token=_token(group, directory, environment, secrets) if url is not None else None,
        ca=None if group.ca is None else directory / group.ca,
        name=group.name or host_name(),
        labels=group.labels,
        gateway_type=group.gateway_type,
        heartbeat=group.heartbeat,
        state=directory / file.state_directory,
    )


def _read(data: bytes, expander: Expander) -> MiddlewareFile:
    """The file as if only what belongs to the machine stood there: other errors of it are no reason not to call."""
    document, problems = compose(FILE, data)
    if document is None:
        raise ConfigError(problems)
    root = document.root if isinstance(document.root, Mapping) else Mapping(1, 1)
    own = {key: entry for key, entry in root.entries.items() if key in OWN}
    if not own:
        return MiddlewareFile.unset()
    converter = Converter(expander)
    value = converter.convert(Mapping(root.line, root.column, own))
    problems = [to_problem(document, fault) for fault in converter.faults]
    try:
        file = MiddlewareFile.model_validate(value)
    except ValidationError as error:
        broken = {fault.path for fault in converter.faults}
        wrong = [each for each in error.errors(include_url=False, include_input=False) if each["loc"] not in broken]
        raise ConfigError(problems + [to_problem(document, to_fault(FILE, each)) for each in wrong]) from None
    if problems:
        raise ConfigError(problems)
    return file


def _token(group: ControlPlane, directory: Path, environment: MappingOf[str, str], secrets: KnownSecrets) -> str | None:
    if group.token is not None:
        token = group.token.get_secret_value()
    elif group.token_file is not None:
        try:
            token = read_regular(directory / group.token_file, MOST_TOKEN).decode("ascii", "replace")
        except FileNotFoundError:  # one that has joined has a token of its own, and needs the file no more
            return None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            message = f"{group.token_file} cannot be read: {reason}; put the token there"
            raise ConfigError([Problem(FILE, 0, 0, f"{LOCAL}.token_file", message)]) from None
    else:
        token = environment.get(TOKEN, "")
    token = token.strip()
    secrets.add(token)
    return token or None


def host_name() -> str:
    """The name of this machine, as gateways may be called."""
    name = re.sub("[^a-z0-9-]+", "-", socket.gethostname().lower()).strip("-")
    return name[:64] or "gateway"

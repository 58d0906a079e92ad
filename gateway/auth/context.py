"""The context in which schemes are made from auth.yaml."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gateway.auth.identities import Identities
from gateway.config.models import AuthFile
from gateway.config.problems import Path as Place
from gateway.config.problems import Problem, format_path
from gateway.context import Context
from gateway.live import Plan


@dataclass(slots=True)
class AuthContext:
    """The configuration, the plan of what must live for it, and what turns out to be wrong on the way."""

    context: Context
    config: AuthFile = field(init=False)
    identities: Identities = field(init=False)
    problems: list[Problem] = field(default_factory=list)
    unusable: list[tuple[Place, str]] = field(default_factory=list)
    """What of mounted files and directories cannot be used, and keeps nothing else from being served."""

    def __post_init__(self) -> None:
        self.config = self.context.configuration.auth
        self.identities = Identities(self.config.consumers, self.config.identity_headers)

    @property
    def plan(self) -> Plan:
        return self.context.plan

    @property
    def base(self) -> Path:
        """The configuration directory."""
        return self.context.base

    def problem(self, place: Place, message: str) -> None:
        """Note what is wrong at a place in auth.yaml."""
        line, column = self.context.configuration.locate("auth.yaml", place)
        problem = Problem("auth.yaml", line, column, format_path(place), message)
        if problem not in self.problems:
            self.problems.append(problem)

    def place_of_key_file(self, path: Path) -> Place:
        """Where auth.yaml names this file of keys."""
        for index, consumer in enumerate(self.config.consumers):
            for number, key in enumerate(consumer.keys):
                if key.file is not None and self.base / key.file == path:
                    return ("consumers", index, "keys", number)
        return ("consumers",)

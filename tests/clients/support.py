"""What tests with real clients share: the SDKs' processes, and providers with a gateway before them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.clients.calls import Call

ENVIRONMENT = Path(__file__).parents[2] / ".venv" / "clients"
MODELS = ENVIRONMENT.parent / "models"
UNEQUAL = (
    "id",
    "created",
    "created_at",
    "model",
    "item_id",
    "response_id",
    "model_version",
    "system_fingerprint",
    "completed_at",
    "timings",
)
"""What may differ between two answers to the same question."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call of an SDK gave: its objects as JSON, and what it raised."""

    objects: Sequence[Any]
    error: Mapping[str, Any] | None

    @property
    def only(self) -> Any:
        """The object of a call that went well."""
        assert self.error is None, self.error
        (found,) = self.objects
        return found

    @property
    def whole(self) -> Sequence[Any]:
        """The objects of a stream that went well."""
        assert self.error is None, self.error
        return self.objects


class Sdks:
    """A program that calls SDKs for each line that it reads."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def make(self, call: Call, url: str, **more: Any) -> Outcome:
        """Make one of the calls of `calls.py`."""
        return self.call(call.sdk, call.method, url, call.arguments, **more)

    def call(
        self,
        sdk: str,
        method: str,
        url: str,
        arguments: Mapping[str, Any],
        *,
        key: str = "a-key",
        headers: Mapping[str, str] | None = None,
        retries: int = 0,
        timeout: float = 20.0,
    ) -> Outcome:
        """Call a method, such as `chat.completions.create`, of a client made for this URL and key."""
        asked = {"sdk": sdk, "method": method, "url": url, "arguments": arguments, "key": key, "retries": retries}
        line = json.dumps({**asked, "headers": headers or {}, "timeout": timeout})
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return Outcome(answer["objects"], answer["error"])


def comparable(value: Any) -> Any:
    """A value without what may differ between two answers, and without what says that something is not there: chunks
    of a chat whose usage the gateway asked for say that they have none."""
    if isinstance(value, Mapping):
        return {name: comparable(each) for name, each in value.items() if name not in UNEQUAL and each is not None}
    return [comparable(each) for each in value] if isinstance(value, list | tuple) else value

"""What `guardrails:` of models.yaml says of each, in the form that custom policies have. Nothing is loaded for it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from gateway.config.models import Configuration
from gateway.middleware.policy_loading import Written, key_of

if TYPE_CHECKING:
    from gateway.config.models.llm.guardrails import Guardrail


def written_of(name: str, config: Guardrail) -> Written:
    """The settings of a guardrail in models.yaml."""
    return Written(name, config.policy, config.config, "models.yaml", "guardrails", "policy", "guardrail")


def guardrail_key(name: str, config: Guardrail, configuration: Configuration) -> Hashable:
    """The identity of a guardrail: its code, and its settings."""
    return key_of(written_of(name, config), configuration)

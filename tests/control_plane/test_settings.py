"""control-plane.yaml: the proposal's two examples as they stand, and what is wrong in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.problems import ConfigError
from gateway.config.secrets import KnownSecrets
from gateway.control_plane.settings.file import ControlPlaneFile
from gateway.control_plane.settings.reading import read_settings

ON_PREMISE = """\
gateway:
  adapter:
    type: on-premise
    onPremise:
      defaultTimeout: 30s
      retryPolicy:
        maxAttempts: 3
        backoffMultiplier: 2
        maxBackoff: 30s
      healthCheck:
        interval: 30s
        timeout: 5s
"""
CLOUD = """\
gateway:
  adapter:
    type: cloud
    cloud:
      provider: wso2-cloud
      apiEndpoint: https://api.wso2.cloud/v1
      authentication:
        type: oauth2
        clientId: ${CLOUD_CLIENT_ID}
        clientSecret: ${CLOUD_CLIENT_SECRET}
      defaultRegion: us-east-1
"""
CREDENTIALS = {"CLOUD_CLIENT_ID": "us", "CLOUD_CLIENT_SECRET": "nobody-knows"}


def _read(directory: Path, text: str, environment: dict[str, str] | None = None) -> ControlPlaneFile:
    (directory / "control-plane.yaml").write_text(text)
    return read_settings(directory, environment or {}, KnownSecrets())


def _problems(directory: Path, text: str, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as refused:
        _read(directory, text, environment)
    return str(refused.value)


def test_the_example_on_premise_is_read_as_it_stands(tmp_path: Path) -> None:
    """Its values are those that hold, and it is what holds without a file."""
    found = _read(tmp_path, ON_PREMISE).gateway.adapter
    assert (found.type, found.calls.default_timeout, found.calls.retry_policy.max_attempts) == ("on-premise", 30, 3)
    assert (found.calls.health_check.interval, found.calls.health_check.timeout) == (30, 5)
    (tmp_path / "control-plane.yaml").unlink()
    assert read_settings(tmp_path, {}, KnownSecrets()).gateway.adapter.calls == found.calls


def test_the_example_of_a_cloud_is_read_as_it_stands(tmp_path: Path) -> None:
    """With its variables from the environment; the secret is not shown."""
    found = _read(tmp_path, CLOUD, CREDENTIALS)
    cloud = found.gateway.adapter.cloud
    assert cloud is not None
    assert cloud.authentication is not None
    assert (cloud.provider, cloud.default_region, cloud.authentication.client_id) == ("wso2-cloud", "us-east-1", "us")
    assert cloud.authentication.client_secret.get_secret_value() == "nobody-knows"
    assert "nobody-knows" not in repr(found)


def test_variables_that_are_not_set_have_a_place(tmp_path: Path) -> None:
    """Both are said at once, with the line of each."""
    problems = _problems(tmp_path, CLOUD)
    assert "control-plane.yaml:9:9: gateway.adapter.cloud.authentication.clientId: " in problems
    assert "CLOUD_CLIENT_SECRET is not set" in problems


def test_keys_may_be_in_snake_case(tmp_path: Path) -> None:
    """As in the other files; a key in both spellings is an error."""
    text = "gateway: {adapter: {on_premise: {default_timeout: 3s}}}\n"
    assert _read(tmp_path, text).gateway.adapter.calls.default_timeout == 3
    both = "gateway:\n  adapter:\n    onPremise: {}\n    on_premise: {}\n"
    assert "control-plane.yaml:4:5: gateway.adapter.on_premise: " in _problems(tmp_path, both)


def test_a_probe_ends_before_the_next_one(tmp_path: Path) -> None:
    """Also where only the interval is given."""
    text = "gateway: {adapter: {onPremise: {healthCheck: {interval: 2s}}}}\n"
    assert _read(tmp_path, text).gateway.adapter.calls.health_check.timeout == 2


@pytest.mark.parametrize("text", ["", "# nothing\n", "gateway:\n", "gateway: {adapter: }\n", "roles: []\n"])
def test_what_is_left_out_has_a_default(tmp_path: Path, text: str) -> None:
    """A file of comments, or of keys without values, is one that says nothing."""
    assert _read(tmp_path, text).gateway.adapter.type == "on-premise"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n", "unknown key"),
        ("gateway: 5\n", "gateway: expected"),
        ("gateway: {adapter: {type: cloud}}\n", "gateway.adapter: `type: cloud` needs `cloud`"),
        ("gateway: {adapter: {type: custom}}\n", "needs `custom`"),
        ("gateway: {adapter: {type: custom, custom: nothing}}\n", "gateway.adapter.custom"),
        ("gateway: {adapter: {onPremise: {retryPolicy: {maxAttempts: 0}}}}\n", "retryPolicy.maxAttempts: "),
        ("gateway: {adapter: {onPremise: {healthCheck: {interval: 1ms}}}}\n", "healthCheck.interval: expected"),
        ("gateway: {adapter: {onPremise: {healthCheck: {interval: 2s, timeout: 1m}}}}\n", "timeout is longer than"),
        ("gateway: {adapter: {onPremise: {defaultTimeout: 9d}}}\n", "defaultTimeout: expected"),
        ("trusted_proxies: [10.0.0.0/8]\n", "it belongs in auth.yaml"),
        ("control_plane: {url: x}\n", "it belongs in middleware.yaml"),
        ("networks: [nowhere]\n", "networks[0]: "),
        ("roles: [{role: owner, groups: [a]}]\n", "roles[0].role: "),
        ("a: \x01\n", "not allowed in YAML"),
        ("gateway: {\n", "this is not YAML"),
        ("gateway: &a [*a]\n", ""),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, said: str) -> None:
    """With the place, and what is expected."""
    problems = _problems(tmp_path, text)
    assert problems.startswith("control-plane.yaml:")
    assert said in problems

"""The control plane in middleware.yaml."""

from pathlib import Path

import pytest

from gateway.config.load import ConfigError, parse

ROUTES = b"routes: [{path: /, target: 'http://a'}]"


def _problem(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse({"routes.yaml": ROUTES, "middleware.yaml": text.encode()}, {}, base=Path("/"))
    return str(caught.value)


def test_the_group_is_read_and_its_url_has_no_slash_at_its_end() -> None:
    """A control plane may stand below a path."""
    text = b"control_plane: {url: 'https://c.example/cp/', token_file: t, labels: {zone: a}}"
    configuration = parse({"routes.yaml": ROUTES, "middleware.yaml": text}, {}, base=Path("/"))
    settings = configuration.middleware.control_plane
    assert settings is not None
    assert settings.url == "https://c.example/cp"


@pytest.mark.parametrize("url", ["c.example", "ws://c", "https://", "https://u:p@c", "https://c?x=1", "http://c:0"])
def test_a_url_that_is_none_is_refused_with_its_place(url: str) -> None:
    """A user name and password in it are refused, too."""
    problem = _problem(f"control_plane: {{url: '{url}'}}")
    assert "middleware.yaml:1:" in problem
    assert ("@" in url or "?" in url) != (f'(got "{url}")' in problem)


def test_two_tokens_are_one_too_many() -> None:
    """Which of them counts would be a guess."""
    assert "token and token_file" in _problem("control_plane: {token: x, token_file: t}")

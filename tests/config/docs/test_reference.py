from pathlib import Path

from gateway.config.docs.reference import render
from gateway.config.models import FILES
from gateway.config.models.base import keys_of
from gateway.config.models.layout import levels

DOCUMENT = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_the_documentation_is_that_of_the_models() -> None:
    """After a change of a key the document is generated again: python -m gateway.config.docs >
    docs/configuration.md."""
    assert DOCUMENT.read_text() == render()


def test_every_key_is_documented() -> None:
    """A table has each key, its type, its default and what it is."""
    lines = render().splitlines()
    for file in FILES:
        for model in levels(file).values():
            for name, field in keys_of(model).items():
                assert field.description
                assert any(line.startswith(f"| `{name}` |") and field.description[:20] in line for line in lines)


def test_defaults_are_written_as_in_a_file() -> None:
    """Durations and sizes have their units."""
    text = render()
    assert "| `connect` | duration | `5s` |" in text
    assert "| `head` | size | `32KiB` |" in text
    assert "| `window` | duration, or 0 | `5s` |" in text
    assert "| `timeout` | duration, at most 1s | `0.02s` |" in text
    assert "| `weight` | whole number, 0 to 1000 | `1` |" in text
    assert "| `preserve_host` | true or false | `false` |" in text
    assert "| `to` | path or URL | required |" in text


def test_one_for_all_or_one_for_each_is_named_once() -> None:
    """What a key takes for everything is not said again of each."""
    text = render()
    assert "| `webhook` | host:port, or one for each of `discovery`, `router`, `auth`, `monitor` | unset |" in text
    assert "| `delivery` | `stream` or `inbox`, or one for each of `service-registry`, `auth-request`, " in text

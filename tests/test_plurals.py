import re
from pathlib import Path

import pytest

from gateway.plurals import counted

SOURCES = sorted((Path(__file__).parent.parent / "gateway").rglob("*.py"))
PLURAL = re.compile(
    r"(%d|\{(?:len\([^{}]*\)|[a-z_.]*(?:count|number|dropped|lost|total|more|errors|warnings|records)[a-z_]*)\})"
    r" (?:[a-z]+ )?(?:errors|warnings|routes|records|lines|requests|changes|names|instances|keys|files|tests|reloads)\b"
)


@pytest.mark.parametrize(
    ("number", "thing", "said"),
    [
        (0, "error", "0 errors"),
        (1, "error", "1 error"),
        (2, "gateway failure", "2 gateway failures"),
        (1, "entry", "1 entry"),
        (3, "entry", "3 entries"),
        (2, "key", "2 keys"),
        (2, "address", "2 addresses"),
    ],
)
def test_numbers_of_things_are_said_as_people_say_them(number: int, thing: str, said: str) -> None:
    """One thing is singular, any other number of them plural."""
    assert counted(number, thing) == said


def test_no_message_has_a_plural_behind_any_number() -> None:
    """No text of the gateway would say "1 errors"."""
    found = [
        f"{path.name}: {match[0]}"
        for path in SOURCES
        for line in path.read_text().splitlines()
        if '"""' not in line and (match := PLURAL.search(line))
    ]
    assert found == []

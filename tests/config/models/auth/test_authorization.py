"""`authorize` in routes.yaml: what is accepted, and its errors."""

from __future__ import annotations

from tests.config.support import errors, parsed, route

HEAD = "- path: /x/*\n  target: backend:80\n  authorize:\n"


def test_a_wrong_condition_is_reported_with_file_line_column_and_a_caret() -> None:
    """The error shows which character of the condition is wrong."""
    assert errors(HEAD + "  - scopes: [a]\n  - when: '\"gold\" in groups and claim.level >= 3'\n") == [
        "routes.yaml:5:5: routes[0].authorize[1].when: the condition is wrong at character 22: "
        'unknown name "claim", did you mean "claims"?\n'
        '    "gold" in groups and claim.level >= 3\n'
        "                         ^"
    ]


def test_of_a_condition_of_several_lines_only_the_wrong_one_is_shown() -> None:
    """The caret stands below the right line."""
    (error,) = errors(HEAD + "  - when: |\n      time.hour > 3\n      and groups\n")
    assert error.split("\n")[1:] == ["    and groups", "        ^"]


def test_a_long_condition_is_cut_around_what_is_wrong() -> None:
    """An error stays readable, however long the condition is."""
    condition = " and ".join(["time.hour < 20"] * 40 + ["x"])
    message, line, caret = errors(HEAD + f"  - when: {condition}\n")[0].split("\n")
    assert 'unknown name "x"' in message
    assert len(line) < 100
    assert line[caret.index("^")] == "x"


def test_a_condition_that_comes_from_outside_is_not_shown() -> None:
    """What a variable holds may be a secret, and stays out of errors."""
    text = HEAD + "  - when: ${CONDITION}\n"
    (error,) = errors(text, environment={"CONDITION": "path == 'secret' and nonsense"})
    assert "secret" not in error


def test_an_entry_must_ask_for_something() -> None:
    """An entry that would let everybody pass is a mistake."""
    found = errors(HEAD + "  - {}\n  - methods: [GET]\n  - mode: shadow\n")
    assert len(found) == 3
    assert all("the entry asks for nothing" in error for error in found)


def test_empty_lists_are_refused() -> None:
    """A template that rendered a list of groups to nothing does not open the route."""
    for line in ("groups: []", "groups:", "when:", "scopes: []"):
        assert errors(HEAD + f"  - {line}\n")
    assert errors("- path: /x/*\n  target: backend:80\n  authorize: []\n")


def test_an_entry_is_read() -> None:
    """Names are taken as they are, methods in capitals."""
    entry = route("authorize: [{scopes: [a, b], tenants: [t], methods: [post], when: time.hour < 3}]").authorize[0]
    assert (entry.scopes, entry.tenants, entry.methods, entry.when) == (("a", "b"), ("t",), ("POST",), "time.hour < 3")


def test_the_time_zone_must_exist() -> None:
    """A misspelt time zone is reported when the file is loaded."""
    assert "unknown time zone" in errors(auth="timezone: Europe/Berlim\n")[0]
    assert parsed(auth="timezone: Europe/Berlin\n").auth.timezone == "Europe/Berlin"

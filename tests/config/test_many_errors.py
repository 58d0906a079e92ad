"""Files with more errors than anybody reads at once: what is made of them is bounded, whatever aliases multiply."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from gateway.check import Asked, examine
from gateway.config.problems import MOST_FOUND, MOST_PROBLEMS, suggest
from tests.config.support import errors, parsed

SERVICES = "services:\n  one: {endpoints: ['127.0.0.1:1']}\n"
AND_MORE = "routes.yaml: and more: at most 1,000 are looked for at once; correct these first"


def routes(keys: str, count: int) -> str:
    return "routes:\n" + "".join(f"- {{id: r{number}, path: /r{number}, {keys}}}\n" for number in range(count))


def with_alias(value: str, key: str = "methods", count: int = 300) -> str:
    """A routes.yaml of some KiB, in which many routes have this value."""
    first = f"- {{id: first, path: /first, target: one, {key}: &many {value}}}\n"
    return f"{SERVICES}{routes(f'target: one, {key}: *many', count)}".replace("routes:\n", f"routes:\n{first}")


@pytest.mark.parametrize(
    "text",
    [
        with_alias(f"[{', '.join(['G E'] * 2000)}]"),
        with_alias("[" + ", ".join(f"n{number}" for number in range(2000)) + "]", key="auth"),
        with_alias("{" + ", ".join(f"k{number}: 1" for number in range(2000)) + "}", key="cache"),
        f"defaults: {{methods: [{', '.join(['G E'] * 2000)}]}}\n{SERVICES}{routes('target: one', 300)}",
    ],
    ids=["values", "names", "keys", "handed down"],
)
def test_one_list_behind_many_aliases(text: str) -> None:
    """600,000 errors of a file of some KiB are a thousand, and the word that there are more, in little memory."""
    tracemalloc.start()
    try:
        lines = errors(text)
        assert tracemalloc.get_traced_memory()[1] < 200 * 1024**2
    finally:
        tracemalloc.stop()
    assert len(lines) == MOST_PROBLEMS + 1
    assert lines[-1] == AND_MORE


def test_the_first_errors_of_a_long_list_have_their_places() -> None:
    """What is wrong far down in a long list is found there, with all else that is wrong in it."""
    text = SERVICES + routes("target: one", 3000)
    text = text.replace("path: /r1499,", "path: r1499,").replace("path: /r2999,", "path: r2999,")
    assert [line.split(": ")[1] for line in errors(text)] == ["routes[1499].path", "routes[2999].path"]


def test_many_routes_that_name_what_is_gone() -> None:
    """Thousands of routes whose scheme has left are a thousand errors, those of the first routes."""
    lines = errors(SERVICES + routes("target: one, auth: [gone]", 4000))
    assert len(lines) == MOST_PROBLEMS + 1
    assert "routes[999].auth[0]" in lines[-2]
    assert lines[-1] == AND_MORE


def test_values_that_are_handed_down_count() -> None:
    """Defaults with many values cannot make more of them in all routes than a file may have."""
    methods = ", ".join(f"M{number}" for number in range(2000))
    (line,) = errors(f"defaults: {{methods: [{methods}]}}\n{SERVICES}{routes('target: one', 1100)}")
    assert "what groups and defaults hand down, there are more than 2,000,000 values" in line


def test_duplicated_keys() -> None:
    """Reading stops at a thousand of them."""
    lines = errors(SERVICES + routes("target: one", 1) + "base_path: /\n" * 3000)
    assert len(lines) == MOST_PROBLEMS + 1
    assert lines[-1] == AND_MORE


def test_warnings_of_one_kind_do_not_crowd_out_others(tmp_path: Path) -> None:
    """Of each kind there are at most a thousand."""
    text = SERVICES + routes("target: one, methods: [GTE]", 1500)
    (tmp_path / "routes.yaml").write_text(text + "accept_rewritten: true\n")
    (tmp_path / "auth.yaml").write_text("mode: shadow\n")
    messages = [problem.message for problem in examine(tmp_path, {}).problems]
    assert sum("is it GET?" in message for message in messages) == MOST_PROBLEMS
    assert any("no request is refused" in message for message in messages)


def test_a_variable_that_is_not_set_behind_many_aliases() -> None:
    """Of these there are ten thousand."""
    lines = errors(with_alias("[" + ", ".join(["'${NO_SUCH_VARIABLE}'"] * 2000) + "]"))
    assert len(lines) == MOST_FOUND + 1
    assert lines[-1] == AND_MORE.replace("1,000", "10,000")


def test_a_variable_that_many_values_need_is_no_error_where_it_may_be_unset(tmp_path: Path) -> None:
    """With --no-env, the rest is checked also where more than a thousand values need it."""
    (tmp_path / "routes.yaml").write_text(
        SERVICES + routes("target: one, host: '${NO_SUCH_HOST}', methods: [GTE]", 1500)
    )
    problems = examine(tmp_path, {}, Asked(variables=False)).problems
    assert {problem.severity for problem in problems} == {"warning"}
    assert any("is it GET?" in problem.message for problem in problems)


def test_many_entries_that_are_right() -> None:
    """Long lists and mappings are read to their end, in their order."""
    services = "services:\n" + "".join(f"  s{number}: {{endpoints: ['127.0.0.1:1']}}\n" for number in range(1500))
    found = parsed(services + routes("target: s1499", 1500)).routes
    assert list(found.services)[-1] == "s1499"
    assert [route.id for route in found.routes] == [f"r{number}" for number in range(1500)]


@pytest.mark.parametrize(
    ("word", "meant"), [("service-3998-v", "service-3998-v1"), ("srvice-17-v1", "service-17-v1"), ("xyz", None)]
)
def test_one_of_thousands_of_names(word: str, meant: str | None) -> None:
    """A name with a slip in it is found among thousands that are much alike."""
    assert suggest(word, [f"service-{number}-v1" for number in range(4000)]) == meant

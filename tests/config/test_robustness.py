"""Whatever the files hold: a configuration or a ConfigError, soon."""

import time
from pathlib import Path

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.docs.reference import SAMPLE
from gateway.config.load import parse
from gateway.config.models import FILES
from gateway.config.models.layout import levels
from gateway.config.problems import ConfigError

from .docs.test_schema import FULL
from .support import parsed

KEYS = [*(key for file in FILES for model in levels(file).values() for key in model.model_fields), "<<"]
TEXTS = st.one_of(
    st.sampled_from(
        ["/x/*", "/{a}", "a:1", "$1", "${A}", "${file:x}", "$${", "5s", "1MiB", "*", "[::1]:80", "GET", "("]
    ),
    st.sampled_from(KEYS),
    st.text(max_size=12),
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.sampled_from(KEYS), TEXTS), inner, max_size=5)
    ),
    max_leaves=25,
)


def loads_or_reports(data: bytes) -> None:
    """Parse as each of the three files; any exception but ConfigError fails the test."""
    for file in FILES:
        errors = problems({"routes.yaml": SAMPLE.encode(), file: data})
        assert all(line.startswith(tuple(FILES)) and "\n" not in line for line in errors)


def problems(files: dict[str, bytes]) -> list[str]:
    try:
        parse(files, {"A": "x"}, base=Path("/nowhere"))
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_reported(data: bytes) -> None:
    """Noise never crashes."""
    loads_or_reports(data)


@settings(deadline=None)
@given(st.text(alphabet="abc:-[]{}&*!|>'\"%@`#?,<$~/ \n\t01.", max_size=80))
def test_any_yaml_like_text_is_read_or_reported(text: str) -> None:
    """Neither does nearly YAML."""
    loads_or_reports(text.encode())


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_or_reported(data: st.DataObject) -> None:
    """A piece missing, doubled or replaced anywhere in a right file never crashes."""
    source = data.draw(st.sampled_from([SAMPLE, FULL])).encode()
    start = data.draw(st.integers(0, len(source)))
    end = data.draw(st.integers(start, min(len(source), start + 30)))
    piece = data.draw(st.one_of(st.binary(max_size=8), st.just(source[start:end] * 2), TEXTS.map(str.encode)))
    loads_or_reports(source[:start] + piece + source[end:])


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_any_structure_is_read_or_reported(value: object) -> None:
    """Right keys with wrong values, and the reverse, never crash."""
    loads_or_reports(yaml.safe_dump(value, allow_unicode=True).encode())


def test_ten_thousand_routes_are_read_in_a_moment() -> None:
    """A large file costs no patience: at most six times what libyaml alone takes for it, which is about a third."""
    lines = ["routes:"]
    for number in range(10_000):
        lines += [f"- path: /v1/s{number}/*", f"  target: s{number}:9003", f"  rewrite: /api/v1/s{number}/$1"]
    text = "\n".join(lines)
    ratios: list[float] = []
    while not ratios or (min(ratios) >= 6 and len(ratios) < 4):  # the machine, or the collector, has other work
        start = time.process_time()
        yaml.compose(text, Loader=yaml.CSafeLoader)
        alone = time.process_time() - start
        start = time.process_time()
        found = parsed(text)
        ratios.append((time.process_time() - start) / alone)
    assert min(ratios) < 6
    assert len(found.routes.routes) == 10_000

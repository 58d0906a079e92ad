import pytest

from gateway.config.yaml.document import resolve
from gateway.config.yaml.text import MAX_BYTES
from tests.config.support import ROUTE, errors, parsed, route, routes_of


@pytest.mark.parametrize(
    "text", ["on", "off", "yes", "no", "y", "1:30", "0777", "1_000", "2024-01-01", ".inf", "=", "-"]
)
def test_words_that_older_yaml_reads_otherwise_are_texts(text: str) -> None:
    """`on`, `1:30`, `0777` and the like mean what is written, as in YAML 1.2."""
    assert resolve(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("FALSE", False), ("~", None), ("", None), ("12", 12), ("-7", -7), ("1.5", 1.5), ("1e3", 1000.0)],
)
def test_plain_words_of_yaml_1_2_have_their_values(text: str, value: object) -> None:
    """true, false, null and numbers are what they say."""
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


def test_numbers_may_be_written_in_other_bases() -> None:
    """0x and 0o begin hexadecimal and octal numbers."""
    assert (resolve("0x1F"), resolve("0o17")) == (31, 15)


def test_a_number_of_thousands_of_digits_is_an_error() -> None:
    """Python's limit on the length of integers does not surface as a crash."""
    line = errors(f"services: {{a: {{endpoints: [{{address: 'b:1', weight: {'9' * 5000}}}]}}}}\nroutes:\n{ROUTE}")[0]
    assert "expected a whole number" in line
    assert len(line) < 300


def test_a_key_that_is_there_twice_names_the_line_of_the_first() -> None:
    """A duplicate key is refused, wherever it is."""
    assert errors("- path: /x\n  target: a:1\n  path: /y\n") == [
        'routes.yaml:3:3: routes[0].path: the key "path" is duplicated, first on line 1; remove one of them'
    ]


def test_an_alias_repeats_a_value() -> None:
    """&name and *name work."""
    text = "routes:\n- {path: /a, target: 'a:1', timeout: &slow 5s}\n- {path: /b, target: 'a:1', timeout: *slow}\n"
    assert [found.timeout.total for found in routes_of(text).routes if found.timeout] == [5, 5]


def test_a_merge_key_fills_in_what_is_not_there() -> None:
    """`<<: *name` adds the keys of another mapping, and never replaces one."""
    text = "- &one\n  path: /a\n  target: a:1\n  preserve_host: true\n- <<: *one\n  path: /b\n"
    found = routes_of(text).routes
    assert [(item.path, item.preserve_host) for item in found] == [("/a", True), ("/b", True)]


def test_a_merge_key_takes_several_mappings_the_first_first() -> None:
    """`<<: [*a, *b]` prefers what `*a` says."""
    text = (
        "- &a {path: /a, target: 'a:1'}\n- &b {path: /b, target: 'b:1', preserve_host: true}\n- <<: [*a, *b]\n  id: c\n"
    )
    found = routes_of(text).routes[2]
    assert (found.path, found.preserve_host) == ("/a", True)


def test_a_merge_key_needs_a_mapping() -> None:
    """`<<: 5` is reported with its place."""
    assert errors("- <<: 5\n  path: /a\n  target: a:1\n") == [
        'routes.yaml:1:3: routes[0]["<<"]: after "<<:" there must be an alias of a mapping, or a list of such'
    ]


def test_aliases_of_aliases_cannot_fill_the_memory() -> None:
    """A billion laughs are refused before they are laughed."""
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (line,) = errors("\n".join(lines))
    assert "more than 2,000,000 values" in line


def test_aliases_of_aliases_cannot_nest_without_end() -> None:
    """What is behind an alias counts as depth, too."""
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [[[[[[*a{n - 1}]]]]]]" for n in range(1, 2000)]
    (line,) = errors("\n".join(lines))
    assert line.startswith("routes.yaml:10:")
    assert "nested deeper than 50 levels" in line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- &a [*a]\n", "*a contains itself; write the value out"),
        ("- *a\n", "there is no &a before this alias; define it, or write the value out"),
        ("a: &a b\n*a : c\n", "an alias cannot be a key; write the key out (merge keys are <<: *name)"),
        ("? [a]\n: b\n", "a key must be a text, not a list or a mapping"),
        ("[" * 2000, "this is nested deeper than 50 levels; make it flatter"),
        ("- " * 5000, "this is nested deeper than 50 levels; make it flatter"),
        ("a: b\n---\nc: d\n", 'a file holds one document; remove this "---" and the part behind or before it'),
    ],
)
def test_structures_that_no_file_needs_are_refused(text: str, message: str) -> None:
    """Recursion, aliases of nothing, strange keys, endless nesting and second documents are reported with their
    line."""
    (line,) = errors(text)
    assert line.startswith("routes.yaml:")
    assert line.endswith(message)


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system [ls]", "!custom x", "!!str x", "! x"])
def test_tags_are_refused(tag: str) -> None:
    """No tag makes an object, or anything."""
    assert any("tags (words that begin with !) are not supported" in line for line in errors(f"- path: {tag}\n"))


@pytest.mark.parametrize("key", ["1", "true", "~", "1.5"])
def test_keys_must_be_texts(key: str) -> None:
    """The error for a number as a key says to quote it."""
    assert "a key must be a text; put it in quotes" in errors(f"{ROUTE}  headers: {{{key}: x}}\n")[0]


@pytest.mark.parametrize(
    ("data", "place", "message"),
    [
        (b"routes:\n\t- path: /x\n", "2:1", "YAML does not indent with tabs; use spaces"),
        (b"- path: @x\n", "1:9", "put the value in quotes"),
        (b"- path: a: b\n", "1:10", 'check the indentation, and put a value that contains ": " in quotes'),
        (b"- path: 'x\n", "1:9", "close the quotes"),
        (b"- path: [x\n", "1:9", "close the bracket, and put values that contain [ ] { } or , in quotes"),
        (b"- path: /x\n target: a\n", "2:2", "check the indentation: keys of one level begin in the same column"),
        (b"- path: /x\n  target\n  id: x\n", "3:3", 'after a key there must be ":" and a space'),
        (b'- path: "\\q"\n', "1:10", "write it twice, or use single quotes"),
        (b"\xff\xfer\x00", "1:1", "the file begins with a byte order mark; save it as UTF-8 without one (BOM)"),
        (b"\xef\xbb\xbfroutes:\n", "1:1", "the file begins with a byte order mark; save it as UTF-8 without one (BOM)"),
        ("- a\n- ü".encode("latin-1"), "2:3", "this is not UTF-8; save the file as UTF-8"),
        (b"- a\n- b\x00", "2:4", "the character U+0000 is not allowed in YAML; remove it"),
    ],
)
def test_what_is_not_yaml_has_its_place_and_a_remedy(data: bytes, place: str, message: str) -> None:
    """A slip in the syntax is reported with line, column and what to do."""
    (line,) = errors(data)
    assert line.startswith(f"routes.yaml:{place}: ")
    assert line.endswith(message)


def test_the_error_for_a_quote_that_is_never_closed_names_its_beginning() -> None:
    """The end of the file is not where the slip is."""
    (line,) = errors("- path: /x\n  id: 'x\n- path: /y\n- path: /z\n")
    assert line.startswith("routes.yaml:2:7: ")


def test_a_file_that_is_too_large_is_refused() -> None:
    """More than 16 MiB is not read."""
    assert errors(b"#" * (MAX_BYTES + 1)) == ["routes.yaml: the file is larger than 16 MiB; make it smaller"]


def test_errors_before_the_reading_stopped_are_reported_as_well() -> None:
    """A duplicated key is not hidden by a slip further down."""
    found = errors("- path: /x\n  path: /y\n- path: 'z\n")
    assert [line.split(": ")[0] for line in found] == ["routes.yaml:2:3", "routes.yaml:3:9"]


def test_comments_document_markers_and_line_ends_of_windows_are_fine() -> None:
    """What other tools write is read."""
    text = "%YAML 1.2\n---\r\n# routes\r\n- path: /x   # a comment\r\n  target: a:1\r\n...\n"
    assert parsed(text).routes.routes[0].path == "/x"


def test_a_quoted_number_is_a_text() -> None:
    """Quotes decide: "2" matches the header value 2."""
    assert route("headers: {x-version: '2'}").headers["x-version"].exact == "2"

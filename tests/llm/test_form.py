"""Forms that stream: what is read of them, however they come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.llm.apis import find
from gateway.llm.form import FormReader, boundary_of
from gateway.llm.request import BadBody
from gateway.llm.splice import replaced

FILE = b"\x00\r\n--b\r-\r\n--other\r\n" * 5


def part(disposition: bytes, content: bytes) -> bytes:
    """One part of a form."""
    return b"--bound\r\nContent-Disposition: " + disposition + b"\r\n\r\n" + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    """A whole form."""
    return b"".join(parts) + b"--bound--\r\n"


MODEL = part(b'form-data; name="model"', b"whisper")
SOUND = part(b'form-data; name="file"; filename="model.mp3"\r\nContent-Type: audio/mpeg', FILE)
STREAM = part(b"form-data; name=stream", b"true")


def read(*pieces: bytes) -> FormReader:
    """A form that comes in these pieces."""
    reader = FormReader(b"bound")
    for piece in pieces:
        reader.feed(piece)
    return reader


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (b"multipart/form-data; boundary=bound", b"bound"),
        (b'Multipart/Form-Data; charset=utf-8; boundary="a b"', b"a b"),
        (b"multipart/form-data", None),
        (b"multipart/form-data; boundary=a; boundary=b", None),
        (b"application/json", None),
        (b"", None),
    ],
)
def test_a_form_is_known_by_its_boundary(content_type: bytes, boundary: bytes | None) -> None:
    """Which must be there, and only once."""
    assert boundary_of(content_type) == boundary


@given(st.lists(st.integers(0, 10_000)), st.permutations([MODEL, SOUND, STREAM]))
def test_texts_are_found_wherever_a_form_is_split(places: list[int], parts: list[bytes]) -> None:
    """In any order, beside a file, and with the place where they stand."""
    body = form(*parts)
    cuts = sorted({place % (len(body) + 1) for place in places})
    reader = read(*(body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)))
    assert (reader.text("model"), reader.text("stream")) == ("whisper", "true")
    (span,) = [span for name, _, span in reader.fields if name == "model"]
    assert body[span.start : span.end] == b"whisper"
    changed = replaced(body, [(span, b"other")])
    assert changed == body.replace(b"whisper", b"other")


def test_a_form_is_a_request() -> None:
    """With a model, and perhaps a stream."""
    call = find("POST", "/v1/audio/transcriptions")
    assert call is not None
    request = read(form(SOUND, MODEL, STREAM)).request(call)
    assert (request.model, request.stream, request.text_bytes) == ("whisper", True, 0)
    assert read(form(SOUND)).request(call).model == ""


def test_a_text_is_known_when_its_part_ends() -> None:
    """Not before: more of it may come."""
    body = form(MODEL, SOUND)
    reader = read(body[: body.index(b"per")])
    assert reader.text("model") is None
    reader.feed(body[body.index(b"per") :])
    assert reader.text("model") == "whisper"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (form(MODEL, SOUND, MODEL), "duplicated"),
        (form(part(b'form-data; name="model"; name="x"', b"a")), "more than one way"),
        (form(part(b"form-data; name*=utf-8''model", b"a")), "more than one way"),
        (form(part(b'form-data; x="; name=x"; NAME="model"', b"a"), MODEL), "duplicated"),
        (form(part(b'form-data; name="model', b"a")), "cannot be read|can be read"),
        (b"--bound\r\nX: y\r\n\r\nabc\r\n--bound--", "can be read"),
        (b"--boundary\r\n", "end of a part"),
        (b"--bound\r\nX: " + b"y" * 10_000, "too long a head"),
        (form(part(b'form-data; name="model"', b"a" * 2000)), "too long"),
    ],
)
def test_what_others_could_read_otherwise_is_refused(body: bytes, sentence: str) -> None:
    """A model twice, names that hide, what is no form."""
    with pytest.raises(BadBody, match=sentence):
        read(body, b"")


def test_a_large_file_is_not_held() -> None:
    """However long it is, and whatever is in it."""
    reader = read(b'--bound\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n')
    for _ in range(200):
        reader.feed(b"\r\n--boun" * 1000)
        assert reader.pending < 100
    reader.feed(b"\r\n" + form(MODEL))
    assert reader.text("model") == "whisper"

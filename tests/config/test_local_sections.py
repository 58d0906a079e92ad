"""What of middleware.yaml belongs to a machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.local_sections import with_local, without_local

GROUP = b"control_plane:\n  url: https://control:9100\n  token_file: token\n"


@pytest.mark.parametrize("before", [b"", b"# first\ndrain:\n  window: 1\n", b"errors: {detail: full}\n\n"])
@pytest.mark.parametrize("behind", [b"", b"# about zones\nzones:\n  own: a\n", b"order: [cors]\n"])
def test_the_group_of_the_machine_is_cut_out_and_all_else_stays(before: bytes, behind: bytes) -> None:
    """What is compared and uploaded are the very bytes that stand around the group."""
    assert without_local(before + GROUP + behind) == before + behind


@given(st.permutations([b"drain:\n  window: 1\n", b"# said\nerrors: {detail: full}\n", b"order: [cors]\n", GROUP]))
def test_the_group_may_stand_anywhere(parts: list[bytes]) -> None:
    """Wherever it stands, the rest is what the file would be without it."""
    assert without_local(b"".join(parts)) == b"".join(part for part in parts if part != GROUP)


@pytest.mark.parametrize("text", [b"", b"drain: {window: 1}\n", b"{ not yaml", b"\xff\xfe", b"- a list\n"])
def test_a_file_without_the_group_stays_as_it_is(text: bytes) -> None:
    """Also one that cannot be read."""
    assert without_local(text) == text


def test_a_group_that_others_need_is_not_cut_out() -> None:
    """An anchor inside of it, which stands for something elsewhere, would be lost: that is said."""
    with pytest.raises(ValueError, match="cannot be cut out"):
        without_local(b"control_plane: &it\n  url: http://a\nzones: *it\n")
    with pytest.raises(ValueError, match="cannot be cut out"):
        without_local(b"{control_plane: {url: http://a}, drain: {window: 1}}\n")


def test_a_bundle_gets_the_machines_own_group_and_admin_settings() -> None:
    """They are behind what it says itself, on lines of their own, so that its own lines keep their numbers."""
    local = GROUP + b"admin:\n  hosts: [a.example]\nstate_directory: '/var/lib/gw'\ndrain: {window: 9}\n"
    whole = with_local(b"drain: {window: 1}", local)
    assert whole == (
        b'drain: {window: 1}\ncontrol_plane: {"url": "https://control:9100", "token_file": "token"}\n'
        b'admin: {"hosts": ["a.example"]}\nstate_directory: "/var/lib/gw"\n'
    )


def test_a_bundle_that_says_it_itself_is_believed() -> None:
    """Its own admin settings go before those of the machine."""
    assert with_local(b"admin: {hosts: [b]}\n", b"admin: {hosts: [a]}\n") == b"admin: {hosts: [b]}\n"
    assert with_local(b"{admin: {hosts: [b]}}", GROUP) == b"{admin: {hosts: [b]}}"  # nothing can follow it

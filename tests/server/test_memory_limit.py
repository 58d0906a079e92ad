"""How near memory is to its limit, read from trees of files as both versions of control groups have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.server.memory_limit import MemoryLimit

MIB = 2**20


def written(directory: Path, **numbers: int | str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, number in numbers.items():
        (directory / name.replace("__", ".")).write_text(f"{number}\n")
    return directory


def looked(root: Path, own: str) -> MemoryLimit:
    (root / "own").write_text(own)
    limit = MemoryLimit(root, root / "own")
    limit.look()
    return limit


@pytest.mark.parametrize("where", ["", "kubepods/pod1/gateway"])
def test_version_2(tmp_path: Path, where: str) -> None:
    """In a container, where the own group is the root, and on the machine, where it has a path."""
    stat = f"anon {90 * MIB}\ninactive_file {10 * MIB}"
    written(tmp_path / where, memory__max=100 * MIB, memory__current=101 * MIB, memory__stat=stat)
    limit = looked(tmp_path, f"0::/{where}\n")
    (trouble,) = limit.troubles()
    assert "91 of the 100 MiB of memory" in trouble
    assert "resources.limits.memory" in trouble
    assert limit.measures() == {"gateway_memory_limit_bytes": 100 * MIB, "gateway_memory_used_bytes": 91 * MIB}


@pytest.mark.parametrize("own", ["/", "/docker/0123"])
def test_version_1(tmp_path: Path, own: str) -> None:
    """The group of a container is mounted where all are, whatever its path is outside."""
    group = written(tmp_path / "memory", memory__limit_in_bytes=100 * MIB, memory__usage_in_bytes=95 * MIB)
    written(group, memory__stat=f"inactive_file 1\ntotal_inactive_file {2 * MIB}")
    (trouble,) = looked(tmp_path, f"5:cpu:/\n4:memory:{own}\n0::/\n").troubles()
    assert "93 of the 100 MiB of memory" in trouble


def test_the_least_limit_counts(tmp_path: Path) -> None:
    """A group without a limit is in one that may have one: that of a pod, or of a slice of systemd."""
    written(tmp_path / "pod", memory__max=200 * MIB, memory__current=190 * MIB)
    written(tmp_path / "pod/gateway", memory__max="max", memory__current=150 * MIB)
    (trouble,) = looked(tmp_path, "0::/pod/gateway\n").troubles()
    assert "190 of the 200 MiB" in trouble


def test_no_limit(tmp_path: Path) -> None:
    """Where there is none, nothing is said, and there are no numbers."""
    written(tmp_path / "memory", memory__limit_in_bytes=2**63 - 4096, memory__usage_in_bytes=95 * MIB)
    limit = looked(tmp_path, "4:memory:/\n0::/\n")
    assert [*limit.troubles()] == []
    assert limit.measures() == {}
    assert [*looked(tmp_path / "memory", "garbage\n").troubles()] == []


def test_its_end_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What goes up and down around nine tenths is one line in the log, and one when it is over."""
    caplog.set_level("INFO")
    written(tmp_path, memory__max=100 * MIB, memory__current=91 * MIB)
    limit = looked(tmp_path, "0::/\n")
    for used in (89, 92, 88, 50, 51):
        written(tmp_path, memory__current=used * MIB)
        limit.look()
    assert [*limit.troubles()] == []
    logged = [record.levelname for record in caplog.records if record.name == "gateway.memory"]
    assert logged == ["WARNING", "INFO"]

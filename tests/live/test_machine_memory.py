"""How much memory there is for this process."""

from __future__ import annotations

from pathlib import Path

from gateway.live.machine_memory import memory_of_process

MIB = 2**20


def test_that_of_the_container(tmp_path: Path) -> None:
    """The least limit of the groups that the process is in."""
    (tmp_path / "pod/gateway").mkdir(parents=True)
    (tmp_path / "pod/memory.max").write_text(f"{200 * MIB}\n")
    (tmp_path / "pod/gateway/memory.max").write_text("max\n")
    (tmp_path / "own").write_text("0::/pod/gateway\n")
    assert memory_of_process(tmp_path, tmp_path / "own") == 200 * MIB


def test_that_of_the_machine(tmp_path: Path) -> None:
    """Where no group has a limit, it is what the machine has."""
    total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
    assert memory_of_process(tmp_path, tmp_path / "none") == int(total.split()[1]) * 1024

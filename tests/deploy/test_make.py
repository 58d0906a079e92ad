import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import until

from .programs import ROOT, require

pytestmark = pytest.mark.xdist_group("the ports of make run")

PORTS = (9000, 9001, 9003, 9005, 9008)

# What a process does in a network of its own: it has only a loopback interface, which is down at first.
OWN_NETWORK = """
import fcntl, socket, struct, sys
with socket.socket() as control:
    fcntl.ioctl(control, 0x8914, struct.pack("16sh14x", b"lo", 0x1))  # SIOCSIFFLAGS, IFF_UP
print("up", flush=True)
sys.stdin.read()
"""
LISTEN = "import socket, sys; held = socket.create_server(('127.0.0.1', int(sys.argv[1])))"


@dataclass(frozen=True, slots=True)
class Network:
    """Where `make run` has its ports, which are no choice of the test's: apart from those of all else, if it can be."""

    enter: tuple[str, ...]  # what a command begins with that is run there
    tcp: Path  # /proc/net/tcp, as it is there

    def command(self, *words: str) -> list[str]:
        return [*self.enter, *words]

    def is_free(self, port: int) -> bool:
        command = self.command(sys.executable, "-c", LISTEN, str(port))
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def taken(self) -> dict[int, str]:
        """The ports that are not free, and who holds each."""
        return {port: self._holders(port) for port in PORTS if not self.is_free(port)}

    def _holders(self, port: int) -> str:
        rows = [line.split() for line in self.tcp.read_text().splitlines()[1:]]
        inodes = {row[9]: f"{row[1]} -> {row[2]} in state {row[3]}" for row in rows if row[1].endswith(f":{port:04X}")}
        return "; ".join(f"{what} of {_process_of(inode)}" for inode, what in inodes.items()) or "no process any more"


def _process_of(inode: str) -> str:
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) == f"socket:[{inode}]":
                return (link.parents[1] / "cmdline").read_text().replace("\0", " ")[:200]
        except OSError:
            continue  # it has ended, or belongs to another user
    return "a process that is not seen here"


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """A network of its own, where the kernel lets us have one, or else this machine's."""
    unshare, nsenter = shutil.which("unshare"), shutil.which("nsenter")
    here = Network((), Path("/proc/net/tcp"))
    if unshare is None or nsenter is None:
        yield here
        return
    command = [unshare, "--map-root-user", "--net", sys.executable, "-c", OWN_NETWORK]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as owner:
        assert owner.stdout is not None
        if owner.stdout.readline() == b"up\n":
            enter = (nsenter, f"--target={owner.pid}", "--user", "--net", "--preserve-credentials")
            yield Network(enter, Path(f"/proc/{owner.pid}/net/tcp"))
        else:
            yield here


@pytest.fixture
def free(network: Network) -> Network:
    """The same, once nothing holds a port there."""
    end = time.monotonic() + 20
    while taken := network.taken():
        if time.monotonic() < end:
            time.sleep(0.2)
        elif os.environ.get("CI") == "true":
            pytest.fail(f"`make run` uses ports that are taken: {taken}")
        else:
            pytest.skip(f"`make run` uses ports that are taken: {taken}")
    return network


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of this checkout that shares its installed virtual environment."""
    files = ("routes.yaml", "middleware.yaml", "auth.yaml", "hosts")
    for name in ("Makefile", "pyproject.toml", "constraints.txt", *files):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "gateway").symlink_to(ROOT / "gateway")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


def outside_make() -> dict[str, str]:
    """The environment without what the make that runs the tests has put there, which would have another say more."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}


def start(network: Network, directory: Path, **variables: str) -> subprocess.Popen[str]:
    """`make run`, with its virtual environment taken for installed, once its demo backends listen.

    In the network of this machine another program may take a port meanwhile: then it is started again.
    """
    command = network.command(require("make"), "--old-file=.venv/.runnable", "run")
    environment = outside_make() | {"PYTHONUNBUFFERED": "1"} | variables  # as in containers and CI
    for _ in range(1 if network.enter else 3):
        said = directory / "stderr"
        with said.open("w") as errors:
            process = subprocess.Popen(
                command,
                cwd=directory,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
                env=environment,
            )
        assert process.stdout is not None
        if process.stdout.readline().startswith("Three demo backends listen"):
            return process
        end(process)
        if "Address already in use" not in said.read_text():
            break
    pytest.fail(f"make run ended: {said.read_text()}; ports that are taken: {network.taken()}")


def end(process: subprocess.Popen[str]) -> None:
    """The hard way, with all that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.fixture
def running(free: Network, checkout: Path) -> Iterator[subprocess.Popen[str]]:
    process = start(free, checkout)
    yield process
    end(process)


def curl_lines(process: subprocess.Popen[str]) -> Iterator[list[str]]:
    """The commands that `make run` tells a newcomer to try, patient enough for a gateway that just starts."""
    assert process.stdout is not None
    for _ in range(3):
        line = process.stdout.readline()
        assert line.startswith("  curl "), f"no command to try: {line!r}"
        patience = ["--retry", "30", "--retry-delay", "1", "--retry-connrefused", "--max-time", "40"]
        yield [require("curl"), "--silent", "--show-error", "--fail", *patience, *shlex.split(line)[1:]]


def test_make_run_serves_the_commands_it_prints(free: Network, running: subprocess.Popen[str]) -> None:
    """Each of the three printed commands gets its answer from the right backend, and SIGTERM leaves nothing running."""
    commands = [free.command(*line) for line in curl_lines(running)]
    answers = [subprocess.run(line, capture_output=True, text=True, check=False) for line in commands]
    assert [answer.stderr for answer in answers if answer.returncode] == []
    assert '"path": "/api/v1/processes/hello"' in answers[0].stdout
    assert '"path": "/api/v1/execution/jobs"' in answers[1].stdout
    assert '"body": "a job"' in answers[1].stdout
    assert answers[2].stdout.count("data: ") == 3
    last = free.command(sys.executable, "-m", "gateway.cli", "last")
    assert "rate_limit:per-client: " in subprocess.run(last, capture_output=True, text=True, check=False).stdout
    running.terminate()
    running.communicate(timeout=50)
    until(lambda: free.taken() == {}, message="a port is still taken")  # which are closed after the output


def test_make_run_says_that_there_was_no_compiler(free: Network, checkout: Path) -> None:
    """Where heads are not read in C, a line says what that costs, and what to do."""
    process = start(free, checkout, PYTHONPATH=str(ROOT / "bench" / "without_c"))
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(6)]
    end(process)
    assert "gateway last" in lines[4]
    assert lines[5].startswith("Built without a C compiler, so that a request costs a quarter more; to have it: ")
    assert "apt-get install gcc" in lines[5]


def test_make_run_says_which_port_is_taken(free: Network, checkout: Path) -> None:
    """When a demo backend's port is taken, `make run` names it and ends instead of serving half."""
    command = free.command(require("make"), "--old-file=.venv/.runnable", "run")
    holder = free.command(sys.executable, "-c", f"{LISTEN}; print('held', flush=True); sys.stdin.read()", "9005")
    with subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holding:
        assert holding.stdout is not None
        assert holding.stdout.readline() == b"held\n"
        assert "sys.stdin.read" in free.taken()[9005]
        ended = subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode != 0
    assert "cannot listen on 127.0.0.1:9005: Address already in use" in ended.stderr
    until(lambda: free.taken() == {}, message="a port is still taken")


def test_make_help_lists_what_there_is() -> None:
    """Each target of CONTRIBUTING.md with what it does, without a build of anything."""
    command = [require("make"), "help"]
    ended = subprocess.run(command, cwd=ROOT, env=outside_make(), capture_output=True, text=True, check=True)
    said = ended.stdout
    assert said.startswith("make run ")
    assert "make compiled #" in said
    assert all(line.startswith("make ") for line in said.splitlines())


def test_an_old_python_is_refused_with_a_remedy(tmp_path: Path) -> None:
    """An interpreter that cannot run the gateway is named before anything is installed, with what to do."""
    old = tmp_path / "python-of-old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    command = [require("make"), f"PYTHON={old}", "run"]
    ended = subprocess.run(command, cwd=tmp_path, env=outside_make(), capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert "is not Python 3.11 or newer; name one that is: make PYTHON=" in ended.stderr
    assert not (tmp_path / ".venv").exists()


def installed_by_nothing(directory: Path) -> None:
    """A checkout whose virtual environment has a Python that does nothing."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "setup.py"):
        (directory / name).write_bytes((ROOT / name).read_bytes())
    (directory / "gateway").mkdir()
    programs = directory / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "pip"):
        (programs / name).write_text("#!/bin/sh\nmkdir -p .venv/compiled\n")
        (programs / name).chmod(0o755)


def test_an_installation_says_what_it_does(tmp_path: Path) -> None:
    """The first `make run` takes a while: one line says with what."""
    installed_by_nothing(tmp_path)
    command = [require("make"), ".venv/.runnable"]
    ended = subprocess.run(command, cwd=tmp_path, env=outside_make(), capture_output=True, text=True, check=True)
    assert ended.stdout == "Installing the gateway and its packages in .venv: about 20 s, and only once.\n"


def test_to_compile_keeps_the_results_of_the_benchmark(tmp_path: Path) -> None:
    """What the compiler left in `build` is removed before it runs again; the values of a run stay."""
    installed_by_nothing(tmp_path)
    build = tmp_path / "build"
    (build / "lib").mkdir(parents=True)
    (build / "bench.json").write_text("{}")
    ended = subprocess.run(
        [require("make"), "CC=sh", "compiled"],
        cwd=tmp_path,
        env=outside_make(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert [each.name for each in build.iterdir()] == ["bench.json"]

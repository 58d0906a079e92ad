import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support import free_port, until

from .conftest import Demo
from .programs import ROOT

DOCKERFILE = ROOT / "deploy/Dockerfile"


def instructions() -> Iterator[tuple[str, str]]:
    """Every instruction of the Dockerfile with its arguments, continuation lines joined, comments left out."""
    text = "\n".join(line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#"))
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            name, arguments = line.split(maxsplit=1)
            yield name, arguments


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage, without its FROM."""
    found: list[list[tuple[str, str]]] = []
    for name, arguments in instructions():
        if name == "FROM":
            found.append([])
        elif found:
            found[-1].append((name, arguments))
    return found


def copied(stage: list[tuple[str, str]]) -> list[str]:
    """What a stage copies from the checkout."""
    sources = [arguments.split()[:-1] for name, arguments in stage if name == "COPY" and "--from=" not in arguments]
    return [source for group in sources for source in group]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    """Every file that the image is made from exists and is let through by .dockerignore, and nothing else is."""
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    wanted = {source for stage in stages() for source in copied(stage)}
    assert wanted == allowed
    assert [source for source in wanted if not (ROOT / source).exists()] == []


@pytest.mark.timeout(600)
@pytest.mark.early
def test_the_steps_of_the_image_give_a_gateway(tmp_path: Path) -> None:
    """The commands of the build stage, on nothing but what it copies, install a compiled `gateway` that runs."""
    build = stages()[0]
    source, installed = tmp_path / "source", tmp_path / "gateway"
    source.mkdir()
    for name in copied(build):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (source / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, source / name if name.endswith(".py") else source)
    if (ROOT / "build").is_dir():  # of `make compiled`: C that comes out as it did there is not compiled again
        shutil.copytree(ROOT / "build", source / "build", ignore=shutil.ignore_patterns("*.py"))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # which might hide it
    for name, arguments in build:
        words = arguments.replace("/opt/", f"{tmp_path}/").split()
        if name == "ENV":
            settings = dict(word.split("=") for word in words)
            settings.pop("GATEWAY_PROFILE", None)  # which takes minutes: traffic is made, and nothing is made of it
            environment |= settings
        elif name == "RUN":
            for library in (source / "build").rglob("*.so"):
                library.touch()  # newer than the compiler's own sources, which have just been installed
            words[0] = sys.executable if words[0] == "python" else words[0]
            subprocess.run(words, cwd=source, env=environment, check=True, capture_output=True, text=True)
    shutil.rmtree(source)
    shown = subprocess.run(
        [installed / "bin/gateway", "--version"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert "compiled" in shown.stdout


def locked(name: str) -> dict[str, tuple[str, int]]:
    """What a file of requirements names: the version of each, and how many hashes it has."""
    text = (ROOT / "deploy" / name).read_text().replace("\\\n", " ")
    found: dict[str, tuple[str, int]] = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            requirement = Requirement(line.split(" --hash")[0])
            (version,) = requirement.specifier
            assert version.operator == "=="
            found[canonicalize_name(requirement.name)] = (version.version, line.count("--hash=sha256:"))
    return found


def test_all_that_is_installed_has_a_hash() -> None:
    """Every requirement of the gateway is locked, by hashes, to the version that constraints.txt says."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    versions: dict[str, str] = {canonicalize_name(name): version for name, version in pins.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    runtime, build = locked("requirements.txt"), locked("build-requirements.txt")
    assert {canonicalize_name(Requirement(text).name) for text in project["dependencies"]} <= set(runtime)
    assert {"setuptools", "mypy", "types-pyyaml"} <= set(build)
    for name, (version, hashes) in (*runtime.items(), *build.items()):
        assert (version, hashes > 0) == (versions[name], True), name


def test_nothing_is_installed_past_the_hashes() -> None:
    """Each pip of the image either checks hashes or fetches nothing, and no image is named by a tag that moves."""
    pips = [arguments for name, arguments in stages()[0] if name == "RUN" and "/pip " in arguments]
    assert pips
    assert all("--require-hashes" in arguments or "--no-index" in arguments for arguments in pips)
    defaults = dict(arguments.split("=") for name, arguments in instructions() if name == "ARG")
    used = [arguments.split()[0].strip("${}") for name, arguments in instructions() if name == "FROM"]
    assert set(used) == set(defaults)
    assert all(re.search(r":[0-9]+\.[0-9]+\.[0-9]+-|@sha256:", image) for image in defaults.values())


def test_the_image_runs_without_root_and_without_a_shell() -> None:
    """The image has a numeric user, commands that need no shell, and ends by the signal that drains."""
    final = dict(stages()[-1])
    user, group = final["USER"].split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert final["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(final["CMD"])[:2] == ["gateway", "serve"]
    assert "GATEWAY_CONFIG=/etc/gateway" in final["ENV"]
    assert any(name == "COPY" and arguments.endswith(" /etc/gateway/") for name, arguments in stages()[-1])


def test_the_image_says_what_it_is() -> None:
    """The labels of the Open Container Initiative have the version and the licence of this checkout."""
    labels = dict(re.findall(r'org\.opencontainers\.image\.([a-z]+)="([^"]+)"', dict(stages()[-1])["LABEL"]))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (labels["version"], labels["licenses"]) == (project["version"], project["license"])
    assert {"title", "description"} < labels.keys()


def _pid_namespaces() -> bool:
    unshare = shutil.which("unshare")
    tried = [unshare or "", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "true"]
    return unshare is not None and subprocess.run(tried, capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def process_one(directory: Path, target: str) -> Iterator[tuple[int, int]]:
    """A gateway that is started as process 1 with one application: its port, and the id of process 1 out here."""
    (directory / "routes.yaml").write_text(f"routes:\n- path: /*\n  target: asgi:tests.lifecycle.apps:{target}\n")
    (directory / "middleware.yaml").write_text("drain: {window: 0, deadline: 5s}\n")
    port = free_port()
    command = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]
    serve = ["-m", "gateway.cli", "serve", "--host", "127.0.0.1", "--port", str(port), "--admin", "off", "--strict"]
    with (directory / "log").open("wb") as log:
        unshare = subprocess.Popen([*command, sys.executable, *serve, "--config", directory], stderr=log, stdout=log)
    try:
        until(lambda: _answers(port), 30, "it does not answer")
        (first,) = _children(unshare.pid)
        assert re.search(r"^NSpid:.*\t1$", Path(f"/proc/{first}/status").read_text(), re.MULTILINE)
        yield port, first
        os.kill(first, signal.SIGTERM)
        assert unshare.wait(20) == 0
        assert "ended" in (directory / "log").read_text()
    finally:
        unshare.kill()
        unshare.wait()


own_process_one = pytest.mark.skipif(not _pid_namespaces(), reason="this machine does not allow new PID namespaces")


@own_process_one
def test_it_is_a_good_process_1(tmp_path: Path) -> None:
    """As process 1, which no signal ends by itself, the gateway ends by SIGTERM with 0, reads its configuration again
    by SIGHUP, and leaves no zombie of the process in which it tries custom policies."""
    with process_one(tmp_path, "one") as (port, first):
        (gateway,) = _children(first)
        until(lambda: not any(map(_is_zombie, _children(gateway))))
        (tmp_path / "routes.yaml").write_text("routes:\n- path: /*\n  respond: {status: 410}\n")
        os.kill(first, signal.SIGHUP)
        until(lambda: _status(port, "/") == 410)


@own_process_one
def test_process_1_waits_for_what_others_leave_behind(tmp_path: Path) -> None:
    """What an application leaves behind becomes no zombie, and the exit codes of what it waits for itself reach it."""
    with process_one(tmp_path, "starting") as (port, first):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
            left, codes = answer.read().decode().split(" ", 1)
        assert codes == "(7, 3, 5)"
        assert int(left) > 1
        until(lambda: not any(map(_is_zombie, _children(first))), 30, f"zombies: {_children(first)}")


@own_process_one
def test_process_1_ends_as_the_gateway_does(tmp_path: Path) -> None:
    """A gateway that is killed, for its memory for instance, ends the container, with the code of that signal."""
    command = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]
    serve = ["-m", "gateway.cli", "serve", "--port", str(free_port()), "--admin", "off", "--config", str(tmp_path)]
    unshare = subprocess.Popen([*command, sys.executable, *serve], stderr=subprocess.DEVNULL)
    try:
        until(lambda: [*map(_children, _children(unshare.pid))] not in ([], [[]]), 30)
        ((gateway,),) = map(_children, _children(unshare.pid))
        os.kill(gateway, signal.SIGKILL)
        assert unshare.wait(20) == 128 + signal.SIGKILL
    finally:
        unshare.kill()
        unshare.wait()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        return _status(port, "/health/ready") == 200
    return False


def _status(port: int, path: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path)
    with contextlib.closing(connection):
        return connection.getresponse().status


def _children(pid: int) -> list[int]:
    return [
        int(word) for task in Path(f"/proc/{pid}/task").iterdir() for word in (task / "children").read_text().split()
    ]


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has been waited for meanwhile
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    return False


def test_the_health_check_distinguishes_a_live_gateway_from_a_dead_one(own_demo: Demo) -> None:
    """The image's HEALTHCHECK succeeds while something answers on its port, and fails when nothing does."""
    options, _, command = dict(stages()[-1])["HEALTHCHECK"].partition("CMD ")
    assert "--timeout=" in options
    _, *words = (word.replace("127.0.0.1:9000", own_demo.gateway) for word in json.loads(command))
    assert subprocess.run([sys.executable, *words], capture_output=True, check=False).returncode == 0
    own_demo.stop()
    assert subprocess.run([sys.executable, *words], capture_output=True, check=False).returncode != 0

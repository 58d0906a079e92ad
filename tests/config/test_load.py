import os
from pathlib import Path

import pytest

from gateway.config.files import read_files
from gateway.config.load import load
from gateway.config.problems import ConfigError

from .support import ROUTE


def problems_of(directory: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(directory, {})
    return [str(problem) for problem in caught.value.problems]


def test_a_directory_with_routes_is_enough(tmp_path: Path) -> None:
    """The other two files are optional."""
    (tmp_path / "routes.yaml").write_text(ROUTE)
    assert load(tmp_path, {}).routes.routes[0].target == "backend:80"


def test_all_three_files_are_read(tmp_path: Path) -> None:
    """Each says its part."""
    (tmp_path / "routes.yaml").write_text(ROUTE)
    (tmp_path / "middleware.yaml").write_text("limits: {headers: 7}\n")
    (tmp_path / "auth.yaml").write_text("trusted_proxies: [10.0.0.1]\n")
    found = load(tmp_path, {})
    assert found.middleware.limits.headers == 7
    assert len(found.auth.trusted_proxies) == 1


def test_the_environment_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables are those of the process unless others are given."""
    monkeypatch.setenv("GATEWAY_TEST_TARGET", "a:1")
    (tmp_path / "routes.yaml").write_text("- path: /x\n  target: ${GATEWAY_TEST_TARGET}\n")
    assert load(tmp_path).routes.routes[0].target == "a:1"


def test_missing_routes_name_the_directory_and_what_to_do(tmp_path: Path) -> None:
    """The error for a wrong directory says so."""
    assert problems_of(tmp_path) == [
        f"routes.yaml: the file does not exist in {tmp_path}; create it, or name another directory with --config"
    ]


@pytest.mark.parametrize("name", ["routes", "middleware", "auth", "models"])
def test_a_file_with_the_other_ending_is_not_overlooked(tmp_path: Path, name: str) -> None:
    """auth.yml beside no auth.yaml is an error and not a gateway without it."""
    (tmp_path / "routes.yaml").write_text(ROUTE)
    (tmp_path / f"{name}.yaml").unlink(missing_ok=True)
    (tmp_path / f"{name}.yml").write_text("x")
    assert problems_of(tmp_path) == [f"{name}.yml: this file is not read; rename it to {name}.yaml"]


@pytest.mark.parametrize(
    ("written", "name"),
    [("Auth.yaml", "auth"), ("auths.yaml", "auth"), ("middlewares.yml", "middleware"), ("model.yaml", "models")],
)
def test_a_file_with_nearly_the_right_name_is_not_overlooked(tmp_path: Path, written: str, name: str) -> None:
    """Auth.yaml is not a gateway without authentication; where the right one is there, it is nobody's business."""
    (tmp_path / "routes.yaml").write_text(ROUTE)
    (tmp_path / written).write_text("x")
    assert problems_of(tmp_path) == [f"{written}: this file is not read; rename it to {name}.yaml"]
    (tmp_path / f"{name}.yaml").write_text("{}")
    assert load(tmp_path, {}).routes.routes


def test_files_that_are_no_files_are_refused_and_nothing_hangs(tmp_path: Path) -> None:
    """A pipe, a directory or a loop of links is an error."""
    os.mkfifo(tmp_path / "routes.yaml")
    (tmp_path / "middleware.yaml").mkdir()
    (tmp_path / "auth.yaml").symlink_to("auth.yaml")
    found = problems_of(tmp_path)
    assert found[:2] == [
        "routes.yaml: the file cannot be used: it is not a regular file; replace it",
        "middleware.yaml: the file cannot be used: it is not a regular file; replace it",
    ]
    assert found[2].startswith("auth.yaml: the file cannot be read: ")


def mount(directory: Path, version: str, files: dict[str, str]) -> None:
    """What Kubernetes does to change a ConfigMap: a new directory, then one rename of a symlink."""
    (directory / version).mkdir()
    for name, text in files.items():
        (directory / version / name).write_text(text)
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(f"..data/{name}")
    (directory / "..new").symlink_to(version)
    (directory / "..new").rename(directory / "..data")


def test_files_of_a_configmap_are_never_of_two_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the symlink is swapped between two files, all are read again."""
    mount(tmp_path, "..1", {"routes.yaml": "one", "middleware.yaml": "one"})
    opened: list[str] = []
    real_open = os.open

    def open_and_swap(path: Path, flags: int) -> int:
        descriptor = real_open(path, flags)
        opened.append(path.name)
        if len(opened) == 1:
            mount(tmp_path, "..2", {"routes.yaml": "two", "middleware.yaml": "two"})
        return descriptor

    monkeypatch.setattr(os, "open", open_and_swap)
    assert read_files(tmp_path) == {"routes.yaml": b"two", "middleware.yaml": b"two"}


def test_no_file_stays_open(tmp_path: Path) -> None:
    """A thousand reloads cost no descriptors, errors or not."""
    (tmp_path / "routes.yaml").write_text(ROUTE)
    (tmp_path / "auth.yaml").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with pytest.raises(ConfigError):
            load(tmp_path, {})
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_error_as_a_text_is_all_of_its_problems(tmp_path: Path) -> None:
    """A log line or a terminal shows everything."""
    (tmp_path / "routes.yaml").write_text("- path: x\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {})
    assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]
    assert len(caught.value.problems) == 2


def test_files_that_models_name_are_read_and_watched(tmp_path: Path) -> None:
    """The Python files of guardrails are of the configuration; prices are watched, and what is written is not."""
    (tmp_path / "routes.yaml").write_text(ROUTE)
    (tmp_path / "auth.yaml").write_text("schemes: {keys: {api_key: }}\ndefault: keys\n")
    (tmp_path / "mine.py").write_text("class NoCards: ...\n")
    (tmp_path / "models.yaml").write_text(
        "providers: {openai: {keys: k}}\nprices: {file: prices.yaml}\nguardrails: {g: {policy: 'mine.py:NoCards'}}\n"
        "budgets: {b: {file: b.sqlite, limits: [{tokens: 5, window: day}]}}\n"
    )
    files = read_files(tmp_path)
    assert list(files) == ["routes.yaml", "auth.yaml", "models.yaml", "mine.py"]
    assert load(tmp_path, {}).named == {"prices.yaml"}


def test_models_are_enough(tmp_path: Path) -> None:
    """There need be no routes.yaml beside them; what is wrong with them is said of them."""
    (tmp_path / "auth.yaml").write_text("schemes: {keys: {api_key: }}\ndefault: keys\n")
    (tmp_path / "models.yaml").write_text("providers: {openai: {keys: k}}\n")
    assert [route.id for route in load(tmp_path, {}).routes.routes] == ["models", "models-probe"]
    (tmp_path / "models.yaml").write_text("providers: {openai: [\n")
    assert [line.split(":")[0] for line in problems_of(tmp_path)] == ["models.yaml"]
    (tmp_path / "models.yaml").write_text("# nothing\n")
    assert [line.split(":")[0] for line in problems_of(tmp_path)] == ["models.yaml"]

import importlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

from gateway import check
from gateway.config import checks
from gateway.config.models import FILES, Configuration


def written() -> Iterator[Callable[..., object]]:
    """Every function of the folder that takes a configuration."""
    for path in sorted(Path(checks.__file__).parent.glob("[a-z]*.py")):
        module = importlib.import_module(f"{checks.__name__}.{path.stem}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            taken = inspect.get_annotations(function).get("configuration")  # as text, where the module says so
            of_one = taken in (Configuration, Configuration.__name__)
            if function.__module__ == module.__name__ and not name.startswith("_") and of_one:
                yield function


def test_every_check_is_in_the_table_once() -> None:
    """A check without its line there would never find anything."""
    listed = [each.find for each in (*checks.ERRORS, *checks.WARNINGS)]
    assert sorted(map(str, listed)) == sorted(map(str, written()))
    assert listed


def test_checks_are_of_files_that_there_are() -> None:
    """Each problem is reported with a place in one of the three files."""
    assert {each.file for each in (*checks.ERRORS, *check.WARNINGS)} <= {*FILES}
    assert checks.AS_READ.keys() <= {*FILES}

"""The codes of refusals, which programs match on, are those of docs/problems.md."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from gateway.llm import apis
from gateway.remedies import CODES, render

SOURCES = Path(__file__).parents[2] / "gateway/llm"
CODE = re.compile("[a-z]+(_[a-z]+)+")
DOCUMENTED = {code for codes in CODES for code in codes.split(", ")}


def said_in(source: str) -> Iterator[str]:
    """The codes that a module writes: those of errors, and what a variable of that name may be."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("ModelError", "NotKnown")):
            codes = node.args[2:3]
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "code":
            codes = [node.value]
        else:
            continue
        texts = [each for code in codes for each in ast.walk(code) if not isinstance(code, ast.JoinedStr)]
        yield from (each.value for each in texts if isinstance(each, ast.Constant) and isinstance(each.value, str))


def test_every_code_is_documented_with_its_remedy() -> None:
    """Whoever gets one finds there why, and what to do; and nothing that does not exist."""
    stored = {api.stored for api in vars(apis).values() if isinstance(api, apis.Api) and api.stored}
    said = {code for path in sorted(SOURCES.glob("*.py")) for code in said_in(path.read_text())}
    said = {code for code in said if CODE.fullmatch(code)}
    made = {f"{kind.replace(' ', '_')}_not_found" for kind in stored}
    of_kinds = {"insufficient_quota", "invalid_api_key", "rate_limit_exceeded", "request_too_large"}
    assert said - DOCUMENTED == set()
    assert DOCUMENTED - said - made - of_kinds == set()
    assert all(f"`{code}`" in render() for code in DOCUMENTED | made)

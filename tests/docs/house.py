"""The drawing of the house in docs/architecture.md, made from the import contract in pyproject.toml.

`python -m tests.docs.house` writes it into the page.
"""

import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/architecture.md"
DRAWING = re.compile(r"(?<=```mermaid\n)flowchart TB\n.*?(?=```\n)", re.DOTALL)


def layers() -> Sequence[Sequence[str]]:
    """The modules of the import contract, from the top to the bottom; those of one layer do not import each other."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (lines,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    return [line.split(" | ") for line in lines]


def drawing() -> str:
    """A Mermaid flowchart. An arrow leads from a layer to the next below: each may import all layers below it."""
    lines = ["flowchart TB"]
    for number, modules in enumerate(layers()):
        if len(modules) == 1:
            lines.append(f'    layer{number}["{_label(modules[0])}"]')
        else:
            boxes = (f'        {module}["{_label(module)}"]' for module in modules)
            lines += [f'    subgraph layer{number}[" "]', *boxes, "    end"]
    lines.append("    " + " --> ".join(f"layer{number}" for number in range(len(layers()))))
    return "\n".join(lines) + "\n"


def _label(module: str) -> str:
    return f"{module}/" if (ROOT / "gateway" / module).is_dir() else f"{module}.py"


def main() -> None:
    page = PAGE.read_text()
    if len(DRAWING.findall(page)) != 1:
        sys.exit(f"{PAGE} must have one ```mermaid block that begins with `flowchart TB`")
    PAGE.write_text(DRAWING.sub(lambda _: drawing(), page))


if __name__ == "__main__":
    main()

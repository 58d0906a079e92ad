"""A small language for conditions over a request: `"gold" in groups and time.hour < 20`.

syntax.py   from text to a tree, with the offset of every part
names.py    what there is to ask about, and of which kind it is
compile.py  the kinds are checked, and the tree becomes a function (condition.py)

Nothing of a condition is ever evaluated as Python. A comparison with something that is not there, or that is of
another kind than expected, is false, also with `!=` and `not in`: a condition cannot fail when it is asked, only when
it is read.
"""

from gateway.algorithms.conditions.condition import Condition, ConditionError
from gateway.algorithms.conditions.facts import Calendar, Facts

__all__ = ["Calendar", "Condition", "ConditionError", "Facts", "compile_condition"]


def compile_condition(text: str) -> Condition:
    """Read, check and compile a condition. Raises ConditionError."""
    from gateway.algorithms.conditions.compile import compiled  # noqa: PLC0415  most configurations have no condition

    return compiled(text)

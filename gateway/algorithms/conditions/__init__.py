"""A small language for conditions over a request: `"gold" in groups and time.hour < 20`.

syntax.py   from text to a tree, with the offset of every part
names.py    what there is to ask about, and of which kind it is
compile.py  the kinds are checked, and the tree becomes a function

Nothing of a condition is ever evaluated as Python. A comparison with something that is not there, or that is of
another kind than expected, is false, also with `!=` and `not in`: a condition cannot fail when it is asked, only when
it is read.
"""

from gateway.algorithms.conditions.compile import Condition, compile_condition
from gateway.algorithms.conditions.facts import Calendar, Facts
from gateway.algorithms.conditions.syntax import ConditionError

__all__ = ["Calendar", "Condition", "ConditionError", "Facts", "compile_condition"]
